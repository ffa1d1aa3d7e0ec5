"""Top and Function: layers and their outputs while a net is written, and their conversion to prototxt."""

from __future__ import annotations

import contextvars
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NoReturn

from cafx.dsl.options import check_options, make_layer, plain
from cafx.dsl.place import user_place
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Layer, check_arity
from cafx.kernel.registry import registry
from cafx.kernel.schema import schema

Rule = dict[str, Any]
active_rules: contextvars.ContextVar[tuple[Rule, ...]] = contextvars.ContextVar("rules", default=())
"""Include rules of the enclosing phase blocks."""


class NotATopError(CafxError, TypeError):
    """A value that is not a top, where one is needed."""


class Top:
    """One output of a layer, passed to further layers as their bottom.

    Attributes:
        fn: the layer.
        n: index of the output.

    >>> from cafx.dsl import layers as L
    >>> data = L.Input(shape=dict(dim=[2, 3]))
    >>> [layer.name for layer in L.ReLU(data).to_proto().layer]
    ['Input1', 'ReLU1']
    """

    def __init__(self, fn: Function, n: int) -> None:
        self.fn = fn
        self.n = n

    def __repr__(self) -> str:
        return f"<top {self.n} of {self.fn!r}>"

    def __iter__(self) -> NoReturn:
        raise NotATopError(f"{self.fn.what} returns one top", where=user_place(), remedy="to unpack two, pass ntop=2")

    def to_proto(self) -> Any:
        """The NetParameter of this top and all layers it depends on, with automatic names."""
        return to_proto(self)


class Function:
    """One layer: type, bottoms and options. ``L.ReLU(data)`` creates one and returns its top.

    Args:
        type_name: the layer type.
        inputs: the bottoms.
        params: the options, including ``ntop`` (number of tops) and ``in_place``.

    Attributes:
        tops: the outputs.

    Raises:
        CafxError: an unknown type or option, an invalid value, or a wrong number of bottoms or tops; it
            names the line of the call.

    >>> Function("Input", [], dict(shape=dict(dim=[2, 3]))).tops[0].to_proto().layer[0].type
    'Input'
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
        """The layer's name in errors."""
        return f"L.{self.type_name}"

    def update(self, params: Mapping[str, Any]) -> None:
        """Set or replace options.

        Args:
            params: the options.

        Raises:
            CafxError: an unknown option or an invalid value.
        """
        try:
            check_options(self.layer_class, {**self.params, **params})
        except CafxError as error:
            raise error.at(f"{user_place()}: {self.what}") from None
        self.params.update(params)

    def to_proto(self) -> Any:
        """The NetParameter of this layer and all layers it depends on, with automatic names."""
        return to_proto(self)

    def layer_proto(self, bottoms: Sequence[str], tops: Sequence[str], name: str) -> Any:
        """The LayerParameter.

        Args:
            bottoms, tops: names of blobs; options ``bottom`` and ``top`` add to them.
            name: the layer's name, unless the option ``name`` is set.
        """
        try:
            options = make_layer(self.layer_class, self.params)
        except CafxError as error:
            raise error.at(f"{self.place}: {self.what}") from None
        proto = type(options)(name=name, type=self.type_name, bottom=bottoms, top=tops)
        proto.MergeFrom(options)
        return proto

    def _checked_input(self, index: int, given: Any) -> Top:
        if isinstance(given, Function) and given.ntop == 1:
            given = given.tops[0]
        if not isinstance(given, Top):
            raise self.not_a_top(index, given)
        return given

    def not_a_top(self, index: int, given: Any) -> Exception:
        """The error for a bottom that is not a top.

        Args:
            index: number of the bottom.
            given: what was passed.
        """
        several = isinstance(given, (tuple, list)) and all(isinstance(each, Top) for each in given)
        return NotATopError(
            f"bottom {index} is not a top",
            found=f"a sequence of {len(given)} tops" if several else repr(given),
            remedy="unpack them with *" if several else "pass the top of another layer",
        )

    def _checked_ntop(self, ntop: Any) -> int:
        if ntop is None:
            return 0 if self.layer_class.tops == 0 or "top" in self.params else 1
        if not isinstance(ntop, int) or isinstance(ntop, bool) or ntop < 0:
            raise CafxError("option 'ntop'", found=repr(ntop), expected="a number of tops")
        return ntop

    def _check_arity(self) -> None:
        bottoms = len(self.inputs) + _count(self.params.get("bottom"))
        tops = (bottoms if self.in_place else self.ntop) + _count(self.params.get("top"))
        check_arity(self.layer_class, bottoms, tops, tops_remedy="set the number of tops with ntop")

    def _with_rules(self, rules: tuple[Rule, ...]) -> list[Rule]:
        if self.params.get("exclude"):
            raise CafxError(
                "exclude rules are not allowed inside a phase block",
                remedy="use include, or move the layer out of the block",
            )
        include = plain(self.params.get("include")) or [{}]
        own_rules = include if isinstance(include, list) else [include]
        block_rule = {name: value for rule in rules for name, value in rule.items()}
        return [{**block_rule, **rule} for rule in own_rules]


Producer = Top | Function


def to_proto(*tops: Producer) -> Any:
    """The NetParameter of some tops and all layers they depend on, with automatic names.

    Args:
        tops: tops, or layers without tops.

    >>> from cafx.dsl import layers as L
    >>> data = L.Input(shape=dict(dim=[2, 3]))
    >>> [layer.name for layer in to_proto(L.ReLU(data), L.TanH(data)).layer]
    ['Input1', 'ReLU1', 'TanH1']
    """
    return net_proto([function_of(top) for top in tops], {}, {})


def function_of(producer: Producer) -> Function:
    """The layer of a top."""
    return producer.fn if isinstance(producer, Top) else producer


def net_proto(
    roots: Sequence[Function],
    names: Mapping[Producer, str],
    alternatives: Mapping[Function, Sequence[Function]],
    *,
    places: bool = False,
) -> Any:
    """The NetParameter of some layers and all layers they depend on, in topological order.

    Args:
        roots: the layers.
        names: names of tops, and of layers without tops; others get their type and a number.
        alternatives: layers for other phases, emitted directly after the key.
        places: say of each layer where it is written, for the errors of a net that is built.
    """
    net = schema()["NetParameter"]()
    automatic = _automatic_names(names.values())
    all_names = dict(names)
    protos: dict[Function, Any] = {}

    def name_of(producer: Producer) -> str:
        if producer not in all_names:
            all_names[producer] = next(automatic(function_of(producer).type_name))
        return all_names[producer]

    for fn in topological_order(roots, alternatives):
        bottoms = [protos[top.fn].top[top.n] for top in fn.inputs]
        tops = bottoms if fn.in_place else [name_of(top) for top in fn.tops]
        layer_name = name_of(fn.tops[0] if fn.tops and fn not in all_names else fn)
        protos[fn] = fn.layer_proto(bottoms, tops, layer_name)
        if places:
            protos[fn].cafx_place = fn.place
        net.layer.append(protos[fn])
    return net


def _automatic_names(taken: Iterable[str]) -> Any:
    """A generator of names per type, ``Convolution1``, ``Convolution2``, …, without those that are taken."""
    reserved, counts = set(taken), Counter[str]()

    def names(type_name: str) -> Iterator[str]:
        while True:
            counts[type_name] += 1
            name = f"{type_name}{counts[type_name]}"
            if name not in reserved:
                yield name

    return names


def topological_order(roots: Sequence[Function], alternatives: Mapping[Function, Sequence[Function]]) -> list[Function]:
    """Layers and all they depend on, each once: inputs first, alternatives directly after their key."""
    done: dict[Function, None] = {}
    pending = [(fn, False) for fn in reversed(roots)]
    while pending:
        fn, inputs_are_done = pending.pop()
        if fn in done:
            continue
        if inputs_are_done:
            done[fn] = None
            pending += [(other, False) for other in reversed(alternatives.get(fn, ()))]
        else:
            pending.append((fn, True))
            pending += [(top.fn, False) for top in reversed(fn.inputs)]
    return list(done)


def _count(names: Any) -> int:
    return 0 if names is None else 1 if isinstance(names, str) else len(names)
