"""NetSpec: a net in Python, with blobs named by assignment."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from cafx.dsl.function import (
    Function,
    NotATopError,
    Producer,
    Top,
    active_rules,
    function_of,
    net_proto,
    topological_order,
)
from cafx.dsl.options import assign, plain
from cafx.dsl.place import NoSuchNameError, user_place
from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.schema import NetParameter, complete, schema

log = logging.getLogger("cafx.dsl")
PYCAFFE_NAMES = ("tops", "update", "to_proto")
SHOWN = 6
"""Names in a repr."""
OWN_FIELDS = ("layer",)


class NetSpec:
    """A net. Assigning a top to an attribute names the blob.

    A layer has the name of its first top. Unnamed tops are called Convolution1, Convolution2, … Names that
    are not Python identifiers are keys: ``n["conv1/relu"] = L.ReLU(n.conv1)``. Assigning to a name again
    replaces the top, with a warning that names both lines, unless ``del n.conv1`` comes before. A top's name
    hides a method of the same name, except ``tops``, ``update`` and ``to_proto``. Several tops, as
    ``L.Data(…, ntop=2)`` returns them, may be assigned to one name for the moment: `to_proto` refuses them.

    Different layers may share a name in different phases; see `phase` and `add`.

    Args:
        name: the net's name.
        fields: further fields of NetParameter: ``force_backward=True``, ``debug_info=True``.

    Attributes:
        tops: the tops by name, in order of assignment.

    Raises:
        CafxError: an unknown field, or an assigned value that is not a top.

    >>> from cafx.dsl import NetSpec, layers as L
    >>> n = NetSpec("tiny")
    >>> n.data = L.Input(shape=dict(dim=[8, 3]))
    >>> n.ip = L.InnerProduct(n.data, num_output=10)
    >>> n.prob = L.Softmax(n.ip)
    >>> print(n.to_text())
    name: "tiny"
    layer {
      name: "data"
      type: "Input"
      top: "data"
      input_param {
        shape {
          dim: 8
          dim: 3
        }
      }
    }
    layer {
      name: "ip"
      type: "InnerProduct"
      bottom: "data"
      top: "ip"
      inner_product_param {
        num_output: 10
      }
    }
    layer {
      name: "prob"
      type: "Softmax"
      bottom: "ip"
      top: "prob"
    }
    <BLANKLINE>
    """

    tops: dict[str, Producer]
    _several: dict[str, Any]
    _alternatives: dict[Function, list[Function]]
    _other_names: dict[Producer, str]
    _places: dict[str, str]
    _fields: dict[str, Any]

    def __init__(self, name: str | None = None, **fields: Any) -> None:
        all_fields = {**({"name": name} if name else {}), **fields}
        known = complete(NetParameter).__options__
        for field in all_fields:
            if field not in known or field in OWN_FIELDS:
                raise UnknownNameError(
                    f"unknown option '{field}' of NetSpec", where=user_place(), remedy=did_you_mean(field, known)
                )
        attributes: dict[str, Any] = {"tops": {}, "_several": {}, "_alternatives": {}, "_other_names": {}}
        attributes |= {"_places": {}, "_fields": all_fields}
        for attribute, value in attributes.items():
            object.__setattr__(self, attribute, value)

    def __getattribute__(self, name: str) -> Any:
        if name not in PYCAFFE_NAMES and not name.startswith("_"):
            for tops in (object.__getattribute__(self, "_several"), object.__getattribute__(self, "tops")):
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
        return self._several[name] if name in self._several else self.__getattr__(name)

    def __setitem__(self, name: str, top: Any) -> None:
        if _are_tops(top):
            self._several[name] = top
            return
        checked = self._checked(name, top)
        self._several.pop(name, None)
        if active_rules.get() and name in self.tops:
            self._add(name, checked)
        else:
            self._warn_if_replaced(name, checked)
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

    def __repr__(self) -> str:
        names = list(self.tops)
        listed = ", ".join([*names[:SHOWN], "…"] if len(names) > SHOWN else names)
        return f"<NetSpec '{self._fields.get('name', '')}': {len(names)} tops ({listed})>"

    def __proto__(self) -> Any:
        """`to_proto`, with the line on which each layer is written, for ``Net(n)``."""
        return self._made(places=True)

    def keys(self) -> list[str]:
        """The names of the tops, in order of assignment.

        >>> from cafx.dsl import NetSpec, layers as L
        >>> n = NetSpec()
        >>> n.data = L.Input(shape=dict(dim=[8, 3]))
        >>> n.keys()[-1]
        'data'
        """
        return list(self.tops)

    def values(self) -> list[Producer]:
        """The tops, in order of assignment."""
        return list(self.tops.values())

    def items(self) -> list[tuple[str, Producer]]:
        """Names and tops, in order of assignment."""
        return list(self.tops.items())

    @contextmanager
    def phase(self, phase: Any, **rule: Any) -> Iterator[NetSpec]:
        """Restrict the layers created in a ``with`` block by an include rule.

        A name that is assigned again inside the block keeps both layers.

        Args:
            phase: ``"TRAIN"`` or ``"TEST"``.
            rule: further fields of NetStateRule: ``stage=…``, ``min_level=…``.

        >>> from cafx.dsl import NetSpec, layers as L
        >>> n = NetSpec()
        >>> with n.phase("TRAIN"):
        ...     n.data = L.Input(shape=dict(dim=[64, 3]))
        >>> with n.phase("TEST"):
        ...     n.data = L.Input(shape=dict(dim=[100, 3]))
        >>> [(layer.name, layer.include[0].phase) for layer in n.to_proto().layer]
        [('data', 0), ('data', 1)]
        """
        token = active_rules.set((*active_rules.get(), {"phase": phase, **plain(rule)}))
        try:
            yield self
        finally:
            active_rules.reset(token)

    def add(self, names: str | Sequence[str], tops: Any) -> Any:
        """Name tops without replacing the tops that have these names already.

        Layers that share a name need include or exclude rules, so that each state has one of them.

        Args:
            names: one name or several.
            tops: one top or as many as there are names.

        Returns:
            ``tops``.

        Raises:
            CafxError: numbers of names and tops differ, or a value is not a top.

        >>> from cafx.dsl import NetSpec, layers as L
        >>> n = NetSpec()
        >>> n.data = L.Input(shape=dict(dim=[64, 3]), include=dict(phase="TRAIN"))
        >>> _ = n.add("data", L.Input(shape=dict(dim=[100, 3]), include=dict(phase="TEST")))
        >>> len(n.to_proto().layer)
        2
        """
        name_list = [names] if isinstance(names, str) else list(names)
        top_list = list(tops) if isinstance(tops, (tuple, list)) else [tops]
        if len(name_list) != len(top_list):
            raise CafxError("add", where=user_place(), found=f"{len(top_list)} tops for {len(name_list)} names")
        for name, top in zip(name_list, top_list, strict=True):
            NetSpec._add(self, name, NetSpec._checked(name, top))
        return tops

    def update(self, name: str, params: Mapping[str, Any]) -> None:
        """Set or replace options of a layer.

        Args:
            name: one of the layer's tops.
            params: the options.

        Raises:
            CafxError: no such top, an unknown option or an invalid value.

        >>> from cafx.dsl import NetSpec, layers as L
        >>> n = NetSpec()
        >>> n.ip = L.InnerProduct(L.Input(shape=dict(dim=[8, 3])), num_output=10)
        >>> n.update("ip", dict(num_output=20))
        >>> n.to_proto().layer[1].inner_product_param.num_output
        20
        """
        function_of(self[name]).update(params)

    def to_proto(self) -> Any:
        """The net as a NetParameter message.

        Raises:
            CafxError: an invalid field of the net, or several tops of one name.
        """
        return NetSpec._made(self, places=False)

    def _made(self, *, places: bool) -> Any:
        for name, several in self._several.items():
            raise _not_a_top(name, several)
        names = {top: name for name, top in self.tops.items()} | self._other_names
        roots = [function_of(top) for top in self.tops.values()]
        net = net_proto(roots, names, self._alternatives, places=places)
        for field, value in self._fields.items():
            try:
                assign(net, field, value)
            except CafxError as error:
                raise error.at("NetSpec") from None
        return net

    def to_text(self) -> str:
        """The net as prototxt."""
        return schema().to_text(self.to_proto())

    def _warn_if_replaced(self, name: str, top: Producer) -> None:
        """Warn that a name is given to another layer, unless the same line, such as a notebook's cell, runs again."""
        place, before = user_place(), self._places.get(name, "")
        self._places[name] = place
        old, new = function_of(self.tops.get(name, top)), function_of(top)
        read = old is not new and old in topological_order([new], {})
        if old is not new and (read or place != before):
            fate = "stays in the net under an automatic name" if read else "is dropped unless another layer reads it"
            log.warning("%s: '%s' is assigned again; the layer that %s assigned %s", place, name, before, fate)

    def _add(self, name: str, top: Producer) -> None:
        if name not in self.tops:
            self.tops[name] = top
            return
        first, other = function_of(self.tops[name]), function_of(top)
        alternatives = self._alternatives.setdefault(first, [])
        if other is not first and other not in alternatives:
            alternatives.append(other)
        self._other_names[top] = name

    @staticmethod
    def _checked(name: str, top: Any) -> Producer:
        if isinstance(top, (Top, Function)):
            return top
        raise _not_a_top(name, top)


def _are_tops(value: Any) -> bool:
    return isinstance(value, (tuple, list)) and bool(value) and all(isinstance(each, Top) for each in value)


def _not_a_top(name: str, value: Any) -> NotATopError:
    several = _are_tops(value)
    return NotATopError(
        f"value of '{name}' is not a top",
        where=user_place(),
        found=f"a {type(value).__name__} of {len(value)} tops" if several else repr(value),
        remedy="name each: n.a, n.b = …" if several else "assign the top of a layer",
    )
