"""SolverSpec: a solver in Python."""

from __future__ import annotations

import inspect
import os
from typing import Any

from google.protobuf.message import Message as Proto

from cafx.dsl.namespaces import option_line, option_parameter
from cafx.dsl.netspec import NetSpec
from cafx.dsl.options import assign, plain
from cafx.dsl.place import NoSuchNameError, user_place
from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.registry import registry
from cafx.kernel.schema import Option, SolverParameter, complete, schema

INLINE = {"net": "net_param", "train_net": "train_net_param", "test_net": "test_net_param"}
PLUGIN_KINDS = {"type": "solver", "lr_policy": "policy"}


def options() -> dict[str, Option]:
    """The fields of SolverParameter, with those that dialects add."""
    return complete(SolverParameter).__options__


class SolverSpec:
    """A solver, with every field of SolverParameter as a keyword.

    Fields can be read and set later, too: ``solver.base_lr = 0.001``. A field that is not set reads as its
    default.

    Args:
        fields: values of fields. ``net``, ``train_net`` and ``test_net`` (one or a list) take a NetSpec, a
            NetParameter message or a path.

    Raises:
        CafxError: an unknown field, solver type or policy, or an invalid value; it names the line.

    >>> from cafx.dsl import NetSpec, SolverSpec, layers as L
    >>> n = NetSpec("tiny")
    >>> n.data = L.Input(shape=dict(dim=[8, 3]))
    >>> n.ip = L.InnerProduct(n.data, num_output=1, loss_weight=1)
    >>> solver = SolverSpec(net=n, base_lr=0.01, lr_policy="fixed", momentum=0.9, max_iter=1000)
    >>> solver.type, solver.to_proto().net_param.name
    ('SGD', 'tiny')
    """

    _values: dict[str, Any]
    place: str

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "_values", {})
        object.__setattr__(self, "place", user_place())
        for name, value in fields.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in options():
            raise UnknownNameError(
                f"unknown option '{name}' of SolverSpec",
                where=user_place(),
                expected="a field of SolverParameter",
                remedy=did_you_mean(name, options()),
            )
        if value is None:
            self._values.pop(name, None)
            return
        try:
            self._values[name] = _checked(name, value)
        except CafxError as error:
            raise error.at(f"{user_place()}: SolverSpec") from None

    def __getattr__(self, name: str) -> Any:
        if name not in options():
            raise NoSuchNameError(
                f"SolverSpec has no field '{name}'", where=user_place(), remedy=did_you_mean(name, options())
            )
        declared = options()[name]
        return self._values.get(name, () if declared.repeated else declared.default)

    def __str__(self) -> str:
        return self.to_text()

    def has(self, name: str) -> bool:
        """Whether a field is set, as opposed to reading as its default."""
        return name in self._values

    def to_proto(self) -> Any:
        """The SolverParameter message, with NetSpecs embedded."""
        proto = schema()["SolverParameter"]()
        for name, value in self._values.items():
            for field, field_value in _fields(name, value):
                if isinstance(field_value, Proto):
                    target = getattr(proto, field)
                    (target.add() if options()[field].repeated else target).MergeFrom(field_value)
                else:
                    assign(proto, field, field_value)
        return proto

    def to_text(self) -> str:
        """The solver as prototxt, with NetSpecs embedded."""
        return schema().to_text(self.to_proto())


def _checked(name: str, value: Any) -> Any:
    if name in INLINE or name in INLINE.values():
        several = isinstance(value, (list, tuple))
        if several and not options()[name].repeated:
            raise CafxError(f"option '{name}'", found=f"{len(value)} nets", expected="one")
        nets = [_checked_net(name, each) for each in (value if several else [value])]
        return nets if options()[name].repeated else nets[0]
    coerced = options()[name].coerce(plain(value))
    if name in PLUGIN_KINDS:
        registry().find(PLUGIN_KINDS[name], coerced)
    return coerced


def _checked_net(name: str, value: Any) -> Any:
    if isinstance(value, NetSpec):
        return value
    if isinstance(value, Proto) and value.DESCRIPTOR.name == "NetParameter":
        return value
    if name in INLINE and isinstance(value, (str, os.PathLike)):
        return os.fspath(value)
    expected = "a NetSpec, a NetParameter" + (" or a path" if name in INLINE else "")
    raise CafxError(f"option '{name}'", found=repr(value), expected=expected)


def _fields(name: str, value: Any) -> list[tuple[str, Any]]:
    """The SolverParameter fields for one value: the field itself, or a net field per net."""
    if name not in INLINE and name not in INLINE.values():
        return [(name, value)]
    fields = []
    for net in value if isinstance(value, list) else [value]:
        inline = not isinstance(net, str)
        field = INLINE.get(name, name) if inline else name
        fields.append((field, _recomposed(net) if inline else net))
    return fields


def _recomposed(net: Any) -> Any:
    """A net as a message of the current schema."""
    if isinstance(net, NetSpec):
        return NetSpec.to_proto(net)
    return schema().parse_bytes(net.SerializeToString(), "NetParameter")


SolverSpec.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [option_parameter(declared) for declared in options().values()]
)
SolverSpec.__doc__ = f"{inspect.cleandoc(SolverSpec.__doc__ or '')}\n\nFields:\n" + "\n".join(
    map(option_line, options().values())
)
