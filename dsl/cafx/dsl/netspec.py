"""NetSpec: a net written in Python, its blobs named by assignment."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cafx.dsl.function import Function, Producer, Top, active_rules, function_of, net_proto
from cafx.dsl.options import assign, plain
from cafx.dsl.place import NoSuchNameError, user_place
from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.schema import NetParameter, schema

PYCAFFE_NAMES = ("tops", "update", "to_proto")
OWN_FIELDS = ("layer",)


class NetSpec:
    """A net in the making: what is assigned to an attribute is a blob of that name.

        n = NetSpec()
        n.data, n.label = L.Data(source="train_lmdb", batch_size=64, ntop=2)
        n.ip = L.InnerProduct(n.data, num_output=10)
        n.loss = L.SoftmaxWithLoss(n.ip, n.label)
        print(n.to_text())

    Names that are no Python names go by key: ``n["conv1/relu"] = L.ReLU(n.conv1)``. A layer takes
    the name of its first top; tops nobody named are called Convolution1, Convolution2, … A second
    assignment to a name replaces the first.

    One name may stand for different layers in different phases. Inside a phase block, layers get
    that include rule, and a name assigned again keeps both:

        with n.phase("TRAIN"):
            n.data, n.label = L.Data(source="train_lmdb", batch_size=64, ntop=2)
        with n.phase("TEST"):
            n.data, n.label = L.Data(source="test_lmdb", batch_size=100, ntop=2)

    or, with rules written out, ``n.add(("data", "label"), L.Data(…, include=dict(phase="TEST")))``.

    A top's name hides a method of that name, except ``tops``, ``update`` and ``to_proto``.

    Args:
        name: the net's name.
        fields: further fields of NetParameter: ``force_backward=True``, ``debug_info=True``.

    Attributes:
        tops: the tops by name, in order.
    """

    tops: dict[str, Producer]
    _alternatives: dict[Function, list[Function]]
    _other_names: dict[Producer, str]
    _fields: dict[str, Any]

    def __init__(self, name: str | None = None, **fields: Any) -> None:
        stated = {**({"name": name} if name else {}), **fields}
        for field in stated:
            if field not in NetParameter.__options__ or field in OWN_FIELDS:
                raise UnknownNameError(
                    f"unknown option '{field}' of NetSpec", where=user_place(),
                    remedy=did_you_mean(field, NetParameter.__options__),
                )  # fmt: skip
        start = {"tops": {}, "_alternatives": {}, "_other_names": {}, "_fields": stated}
        for attribute, value in start.items():
            object.__setattr__(self, attribute, value)

    def __getattribute__(self, name: str) -> Any:
        if name not in PYCAFFE_NAMES and not name.startswith("_"):
            tops = object.__getattribute__(self, "tops")
            if name in tops:
                return tops[name]
        return object.__getattribute__(self, name)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name not in self.tops:
            raise NoSuchNameError(
                f"the net has no top '{name}'", where=user_place(), remedy=did_you_mean(name, self.tops)
            )
        return self.tops[name]

    def __setattr__(self, name: str, top: Any) -> None:
        self[name] = top

    def __delattr__(self, name: str) -> None:
        del self[name]

    def __getitem__(self, name: str) -> Any:
        return self.__getattr__(name)

    def __setitem__(self, name: str, top: Any) -> None:
        checked = self._checked(name, top)
        if active_rules.get() and name in self.tops:
            self._add(name, checked)
        else:
            self.tops[name] = checked

    def __delitem__(self, name: str) -> None:
        self.__getattr__(name)
        del self.tops[name]

    def __contains__(self, name: object) -> bool:
        return name in self.tops

    def __iter__(self) -> Iterator[str]:
        return iter(self.tops)

    def __str__(self) -> str:
        return NetSpec.to_text(self)

    @contextmanager
    def phase(self, phase: Any, **rule: Any) -> Iterator[NetSpec]:
        """Layers made in this block are for ``phase`` only (and ``stage=…``, ``min_level=…``)."""
        token = active_rules.set((*active_rules.get(), {"phase": phase, **plain(rule)}))
        try:
            yield self
        finally:
            active_rules.reset(token)

    def add(self, names: str | Sequence[str], tops: Any) -> Any:
        """Name ``tops``, beside what has these names already; returns them.

        The two must not meet in one phase: give their layers include or exclude rules.
        """
        named = [names] if isinstance(names, str) else list(names)
        each = list(tops) if isinstance(tops, (tuple, list)) else [tops]
        if len(named) != len(each):
            raise CafxError("add", where=user_place(), found=f"{len(each)} tops for {len(named)} names")
        for name, top in zip(named, each, strict=True):
            NetSpec._add(self, name, NetSpec._checked(self, name, top))
        return tops

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Set or replace options of the layer that makes top ``name``."""
        function_of(self[name]).update(params)

    def to_proto(self) -> Any:
        """The net as a NetParameter message."""
        names = {top: name for name, top in self.tops.items()} | self._other_names
        roots = [function_of(top) for top in self.tops.values()]
        net = net_proto(roots, names, self._alternatives)
        for field, value in self._fields.items():
            try:
                assign(net, field, value)
            except CafxError as error:
                raise error.at("NetSpec") from None
        return net

    def to_text(self) -> str:
        """The net as prototxt."""
        return schema().to_text(self.to_proto())

    def _add(self, name: str, top: Producer) -> None:
        if name not in self.tops:
            self.tops[name] = top
            return
        first, other = function_of(self.tops[name]), function_of(top)
        beside = self._alternatives.setdefault(first, [])
        if other is not first and other not in beside:
            beside.append(other)
        self._other_names[top] = name

    def _checked(self, name: str, top: Any) -> Producer:
        if isinstance(top, (Top, Function)):
            return top
        several = isinstance(top, tuple) and all(isinstance(each, Top) for each in top)
        raise CafxError(
            f"'{name}' is not given a top", where=user_place(),
            found=f"{len(top)} tops together" if several else repr(top),
            remedy="name each: n.a, n.b = …" if several else "assign what a layer returned",
        )  # fmt: skip
