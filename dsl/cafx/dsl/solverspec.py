"""SolverSpec: how a net is trained, written in Python."""

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
from cafx.kernel.schema import SolverParameter, schema

OPTIONS = SolverParameter.__options__
INLINE = {"net": "net_param", "train_net": "train_net_param", "test_net": "test_net_param"}
PLUGIN_KINDS = {"type": "solver", "lr_policy": "policy"}


class SolverSpec:
    """A solver in the making: every field of SolverParameter as a keyword, checked at once.

        solver = SolverSpec(net=n, base_lr=0.01, lr_policy="fixed", momentum=0.9, max_iter=1000)

    ``net``, ``train_net`` and ``test_net`` (one or a list) take a NetSpec, a NetParameter message or
    a path. Fields can be read and set afterwards: ``solver.base_lr = 0.001``; an absent one reads as
    its default.

    Raises:
        CafxError: an unknown field, solver type or policy, or a value of the wrong kind, with the
            line it was written in.
    """

    _stated: dict[str, Any]
    place: str

    def __init__(self, **fields: Any) -> None:
        object.__setattr__(self, "_stated", {})
        object.__setattr__(self, "place", user_place())
        for name, value in fields.items():
            setattr(self, name, value)

    def __setattr__(self, name: str, value: Any) -> None:
        if name not in OPTIONS:
            raise UnknownNameError(
                f"unknown option '{name}' of SolverSpec", where=user_place(),
                expected="a field of SolverParameter", remedy=did_you_mean(name, OPTIONS),
            )  # fmt: skip
        if value is None:
            self._stated.pop(name, None)
            return
        try:
            self._stated[name] = _checked(name, value)
        except CafxError as error:
            raise error.at(f"{user_place()}: SolverSpec") from None

    def __getattr__(self, name: str) -> Any:
        if name not in OPTIONS:
            raise NoSuchNameError(
                f"SolverSpec has no field '{name}'", where=user_place(), remedy=did_you_mean(name, OPTIONS)
            )
        declared = OPTIONS[name]
        return self._stated.get(name, () if declared.repeated else declared.default)

    def __str__(self) -> str:
        return self.to_text()

    def has(self, name: str) -> bool:
        """Whether a field is stated, as opposed to read from its default."""
        return name in self._stated

    def to_proto(self) -> Any:
        """The SolverParameter message; nets written in Python are in it inline."""
        proto = schema()["SolverParameter"]()
        for name, value in self._stated.items():
            for field, held in _fields(name, value):
                if isinstance(held, Proto):
                    target = getattr(proto, field)
                    (target.add() if OPTIONS[field].repeated else target).MergeFrom(held)
                else:
                    assign(proto, field, held)
        return proto

    def to_text(self) -> str:
        """The solver as prototxt, its nets inline."""
        return schema().to_text(self.to_proto())


def _checked(name: str, value: Any) -> Any:
    if name in INLINE or name in INLINE.values():
        several = isinstance(value, (list, tuple))
        if several and not OPTIONS[name].repeated:
            raise CafxError(f"option '{name}'", found=f"{len(value)} nets", expected="one")
        nets = [_checked_net(name, each) for each in (value if several else [value])]
        return nets if OPTIONS[name].repeated else nets[0]
    coerced = OPTIONS[name].coerce(plain(value))
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
    """What a stated field becomes: itself, or one inline net after another."""
    if name not in INLINE and name not in INLINE.values():
        return [(name, value)]
    found = []
    for net in value if isinstance(value, list) else [value]:
        inline = not isinstance(net, str)
        field = INLINE.get(name, name) if inline else name
        found.append((field, _reread(net) if inline else net))
    return found


def _reread(net: Any) -> Any:
    """A net as a message of the schema as it is composed now."""
    if isinstance(net, NetSpec):
        return NetSpec.to_proto(net)
    return schema().parse_bytes(net.SerializeToString(), "NetParameter")


SolverSpec.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [option_parameter(declared) for declared in OPTIONS.values()]
)
SolverSpec.__doc__ = f"{inspect.cleandoc(SolverSpec.__doc__ or '')}\n\nFields:\n" + "\n".join(
    map(option_line, OPTIONS.values())
)
