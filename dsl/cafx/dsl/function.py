"""Top and Function: one layer of a net in the making, what it reads, and the prototxt of many."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from cafx.dsl.options import check_options, make_layer, plain
from cafx.dsl.place import user_place
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Layer, arity_text, fits
from cafx.kernel.registry import registry
from cafx.kernel.schema import schema

Rule = dict[str, Any]
active_rules: contextvars.ContextVar[tuple[Rule, ...]] = contextvars.ContextVar("rules", default=())


class Top:
    """One output of a layer in the making: what further layers are called with.

    Attributes:
        fn: the Function that makes it.
        n: which of its tops it is.
    """

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def __repr__(self) -> str:
        return f"<top {self.n} of {self.fn!r}>"

    def __iter__(self) -> NoReturn:
        raise CafxError(
            f"{self.fn.what} makes one top here and cannot be unpacked", where=user_place(),
            remedy="pass ntop=2 where it is called, say",
        )  # fmt: skip

    def to_proto(self) -> Any:
        """The NetParameter of this top and all it is computed from, with automatic names."""
        return to_proto(self)


class Function:
    """One call of ``L.Something``: a layer's type, its inputs and its options.

    Args:
        type_name: the layer type.
        inputs: the tops it reads.
        params: its options; ``ntop`` (how many tops) and ``in_place`` among them.

    Raises:
        CafxError: an unknown type or option, a value of the wrong kind, or another number of
            bottoms or tops than the layer takes; it names the line of the call.
    """

    def __init__(self, type_name: str, inputs: Sequence[Any], params: Mapping[str, Any]) -> None:
        self.type_name = type_name
        self.place = user_place()
        self.params = dict(params)
        try:
            self.layer_class: type[Layer] = registry().load("layer", type_name)
            self.inputs = [self._checked_input(index, given) for index, given in enumerate(inputs)]
            self.in_place = bool(self.params.pop("in_place", False))
            self.ntop = self._checked_ntop(self.params.pop("ntop", None))
            if active_rules.get():
                self.params["include"] = self._with_rules(active_rules.get())
            check_options(self.layer_class, self.params)
            self._check_arity()
        except CafxError as error:
            raise error.at(f"{self.place}: {self.what}") from None
        self.tops = tuple(Top(self, index) for index in range(self.ntop))

    def __repr__(self) -> str:
        return f"<{self.what} of {self.place}>"

    @property
    def what(self) -> str:
        """How errors name it."""
        return f"L.{self.type_name}"

    def update(self, params: Mapping[str, Any]) -> None:
        """Set or replace options."""
        try:
            check_options(self.layer_class, {**self.params, **params})
        except CafxError as error:
            raise error.at(f"{user_place()}: {self.what}") from None
        self.params.update(params)

    def to_proto(self) -> Any:
        """The NetParameter of this layer and all it reads, with automatic names."""
        return to_proto(self)

    def layer_proto(self, bottoms: Sequence[str], tops: Sequence[str], name: str) -> Any:
        """Its LayerParameter; names stated as options (``name``, ``top``, ``bottom``) count too."""
        try:
            stated = make_layer(self.layer_class, self.params)
        except CafxError as error:
            raise error.at(f"{self.place}: {self.what}") from None
        proto = type(stated)(name=name, type=self.type_name, bottom=bottoms, top=tops)
        proto.MergeFrom(stated)
        return proto

    def _checked_input(self, index: int, given: Any) -> Top:
        if isinstance(given, Function) and given.ntop == 1:
            given = given.tops[0]
        if not isinstance(given, Top):
            several = isinstance(given, (tuple, list)) and all(isinstance(each, Top) for each in given)
            raise CafxError(
                f"bottom {index} is not a top",
                found=f"{len(given)} tops together" if several else repr(given),
                remedy="unpack them, or put * before them" if several else "pass what another layer returned",
            )
        return given

    def _checked_ntop(self, stated: Any) -> int:
        if stated is None:
            return 0 if self.layer_class.tops == 0 or "top" in self.params else 1
        if not isinstance(stated, int) or isinstance(stated, bool) or stated < 0:
            raise CafxError("option 'ntop'", found=repr(stated), expected="a number of tops")
        return stated

    def _check_arity(self) -> None:
        bottoms = len(self.inputs) + _count(self.params.get("bottom"))
        if not fits(self.layer_class.bottoms, bottoms):
            raise CafxError(
                "takes another number of bottoms", found=bottoms, expected=arity_text(self.layer_class.bottoms)
            )
        tops = (bottoms if self.in_place else self.ntop) + _count(self.params.get("top"))
        allowed = self.layer_class.tops
        if self.layer_class.automatic_tops:
            allowed = (0, allowed if isinstance(allowed, int) else allowed[1])
        if not fits(allowed, tops):
            raise CafxError(
                "makes another number of tops", found=tops, expected=arity_text(allowed),
                remedy="say how many with ntop",
            )  # fmt: skip

    def _with_rules(self, rules: tuple[Rule, ...]) -> list[Rule]:
        if self.params.get("exclude"):
            raise CafxError("has exclude rules inside a phase block", remedy="use include, or leave the block")
        stated = plain(self.params.get("include")) or [{}]
        included = stated if isinstance(stated, list) else [stated]
        around = {name: value for rule in rules for name, value in rule.items()}
        return [{**around, **rule} for rule in included]


Producer = Top | Function


def to_proto(*tops: Producer) -> Any:
    """The NetParameter of these tops and all they are computed from, named automatically."""
    return net_proto([function_of(top) for top in tops], {}, {})


def function_of(producer: Producer) -> Function:
    """The layer behind a top."""
    return producer.fn if isinstance(producer, Top) else producer


def net_proto(
    roots: Sequence[Function], names: Mapping[Producer, str], alternatives: Mapping[Function, Sequence[Function]]
) -> Any:
    """The NetParameter of ``roots`` and all they read, each layer after what it reads.

    Args:
        roots: the layers wanted.
        names: of tops, and of layers without tops; others are named after their type and a number.
        alternatives: layers that follow another at once, for other phases.
    """
    net = schema()["NetParameter"]()
    automatic = _automatic_names(names.values())
    named = dict(names)
    written: dict[Function, Any] = {}

    def name_of(producer: Producer) -> str:
        if producer not in named:
            named[producer] = next(automatic(function_of(producer).type_name))
        return named[producer]

    for fn in in_order(roots, alternatives):
        bottoms = [written[top.fn].top[top.n] for top in fn.inputs]
        tops = bottoms if fn.in_place else [name_of(top) for top in fn.tops]
        layer_name = name_of(fn.tops[0] if fn.tops and fn not in named else fn)
        written[fn] = fn.layer_proto(bottoms, tops, layer_name)
        net.layer.append(written[fn])
    return net


def _automatic_names(taken: Iterable[str]) -> Any:
    """For each type ``Convolution1``, ``Convolution2``, … short of names a person gave."""
    given, counts = set(taken), Counter[str]()

    def names(type_name: str) -> Iterator[str]:
        while True:
            counts[type_name] += 1
            name = f"{type_name}{counts[type_name]}"
            if name not in given:
                yield name

    return names


def in_order(roots: Sequence[Function], alternatives: Mapping[Function, Sequence[Function]]) -> list[Function]:
    """``roots`` and all they read, once each, inputs first and alternatives right behind."""
    done: dict[Function, None] = {}
    waiting = [(fn, False) for fn in reversed(roots)]
    while waiting:
        fn, inputs_done = waiting.pop()
        if fn in done:
            continue
        if inputs_done:
            done[fn] = None
            waiting += [(other, False) for other in reversed(alternatives.get(fn, ()))]
        else:
            waiting.append((fn, True))
            waiting += [(top.fn, False) for top in reversed(fn.inputs)]
    return list(done)


def _count(names: Any) -> int:
    return 0 if names is None else 1 if isinstance(names, str) else len(names)
