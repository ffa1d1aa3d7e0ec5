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
from cafx.kernel.schema import Message, Option, SolverParameter, at_least, complete, declared_by, schema

INLINE = {"net": "net_param", "train_net": "train_net_param", "test_net": "test_net_param"}
PLUGIN_KINDS = {"type": "solver", "lr_policy": "policy"}
SOLVER = "SolverParameter"
SENSIBLE = {
    "base_lr": at_least(0),
    "momentum": at_least(0),
    **dict.fromkeys(("max_iter", "test_interval", "snapshot", "display"), at_least(0)),
    **dict.fromkeys(("iter_size", "average_loss"), at_least(1)),
}
"""Ranges beyond which a value cannot be meant. A prototxt may have any that Caffe accepts."""


def options() -> dict[str, Option]:
    """The fields of SolverParameter, with those that dialects add."""
    return complete(SolverParameter).__options__


class SolverSpec:
    """A solver, with every field of SolverParameter as a keyword.

    Options that a solver type or a policy declares for itself are keywords too, or grouped as
    ``warmup_param=dict(…)``. Fields can be read and set later: ``solver.base_lr = 0.001``. A field that is not set
    reads as its default.

    Args:
        fields: values of fields. ``net``, ``train_net`` and ``test_net`` (one or a list) take a NetSpec, a
            NetParameter message or a path.

    Raises:
        CafxError: an unknown field, solver type or policy, or an invalid value; it names the line.

    >>> from cafx.dsl import NetSpec, SolverSpec, layers as L
    >>> n = NetSpec("tiny")
    >>> n.data = L.Input(shape=[8, 3])
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
        for name in sorted(fields, key=lambda name: name not in PLUGIN_KINDS):  # they decide which options there are
            setattr(self, name, fields[name])
        in_order = {name: self._values[name] for name in fields if name in self._values}
        object.__setattr__(self, "_values", in_order)

    def __setattr__(self, name: str, value: Any) -> None:
        try:
            declared = self._declared(name)
            if value is None:
                self._values.pop(name, None)
            else:
                self._values[name] = _checked(name, value, declared)
        except CafxError as error:
            raise error.at(f"{user_place()}: SolverSpec") from None

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        try:
            declared = self._declared(name)
        except CafxError as error:
            raise NoSuchNameError(
                f"SolverSpec has no field '{name}'", where=user_place(), remedy=error.remedy
            ) from None
        return self._values.get(name, () if declared.repeated else declared.default)

    def __dir__(self) -> list[str]:
        own = self._own_messages()
        return [*super().__dir__(), *options(), *own, *(name for each in own.values() for name in each.__options__)]

    def __str__(self) -> str:
        return self.to_text()

    def __repr__(self) -> str:
        return f"SolverSpec({', '.join(f'{name}={value!r}' for name, value in self._values.items())})"

    def __proto__(self) -> Any:
        """`to_proto`, with the line on which each layer of its nets is written, for ``Solver(spec)``."""
        return self._made(places=True)

    def has(self, name: str) -> bool:
        """Whether a field is set, as opposed to reading as its default."""
        return name in self._values

    def to_proto(self) -> Any:
        """The SolverParameter message, with NetSpecs embedded.

        Raises:
            CafxError: an option that neither the solver type nor the policy declares any more, or an invalid net.
        """
        return self._made(places=False)

    def to_text(self) -> str:
        """The solver as prototxt, with NetSpecs embedded."""
        return schema().to_text(self.to_proto())

    def _made(self, *, places: bool) -> Any:
        proto = schema()["SolverParameter"]()
        own: dict[str, Any] = {}
        for name, value in self._values.items():
            if name not in options():
                self._add_own(own, name, value)
                continue
            for field, field_value in _fields(name, value, places=places):
                if isinstance(field_value, Proto):
                    target = getattr(proto, field)
                    (target.add() if options()[field].repeated else target).MergeFrom(field_value)
                else:
                    assign(proto, field, field_value)
        for field, values in own.items():
            if not hasattr(proto, field):
                raise (schema().clashes.get(field) or CafxError(f"'{field}' is not in the schema")).at(self.place)
            self._own_messages()[field](**values).fill(getattr(proto, field))
        return proto

    def _add_own(self, own: dict[str, Any], name: str, value: Any) -> None:
        """Add a value to those of the message it belongs to."""
        try:
            field = self._field_of(name)
        except CafxError as error:
            raise error.at(f"{self.place}: SolverSpec") from None
        values = own.setdefault(field, {})
        values |= value if name == field else {name: value}

    def _declared(self, name: str) -> Option:
        """The declaration of a field, or of an option that the solver type or the policy declares."""
        if name in options():
            return options()[name]
        field = self._field_of(name)
        message = self._own_messages()[field]
        return message.__options__[name] if name != field else option_of(message)

    def _field_of(self, name: str) -> str:
        """The field of SolverParameter that holds an option of the solver type's or the policy's own."""
        own = self._own_messages()
        fields = [field for field, message in own.items() if name == field or name in message.__options__]
        if len(fields) == 1:
            return fields[0]
        if fields:
            remedy = " or ".join(f"{field}=dict({name}=…)" for field in fields)
            raise CafxError(f"option '{name}' is declared twice", remedy=f"write {remedy}")
        known = [*options(), *own, *(each for message in own.values() for each in message.__options__)]
        raise UnknownNameError(
            f"unknown option '{name}' of SolverSpec",
            expected="a field of SolverParameter",
            remedy=did_you_mean(name, known) or _other_reader(name),
        )

    def _own_messages(self) -> dict[str, type[Message]]:
        """The messages with options of the solver type and of the policy, by field of SolverParameter."""
        found: dict[str, type[Message]] = {}
        for field, kind in PLUGIN_KINDS.items():
            name = self._values.get(field, options()[field].default)
            for message in declared_by(registry().load(kind, name)) if name else ():
                if message.__extends__ and message.__extends__.target == SOLVER:
                    found[message.__extends__.field] = message
        return found


def _other_reader(name: str) -> str | None:
    """Which solver type or policy an option belongs to, if it is installed but not chosen."""
    composed = schema()
    for message in composed.fields_of(SOLVER).values():
        if name in message.__options__:
            return f"it is an option of {composed.owners[message]}: set type or lr_policy before"
    return None


def option_of(message: type[Message]) -> Option:
    """A message of options as an option of the solver: ``warmup_param=dict(…)``.

    Args:
        message: the declaration, a field of SolverParameter.
    """
    extension = message.__extends__
    assert extension is not None
    return Option(extension.field, extension.number, message, None, "", extension.label, False, None)


def _checked(name: str, value: Any, declared: Option) -> Any:
    if name in INLINE or name in INLINE.values():
        several = isinstance(value, (list, tuple))
        if several and not declared.repeated:
            raise CafxError(f"option '{name}'", found=f"{len(value)} nets", expected="one")
        nets = [_checked_net(name, each) for each in (value if several else [value])]
        return nets if declared.repeated else nets[0]
    if declared.is_message and name not in options():
        declared.coerce(plain(value))
        return plain(value)
    coerced = declared.coerce(plain(value))
    if name in SENSIBLE and SENSIBLE[name](coerced):
        raise CafxError(f"{name}={coerced:g} is not valid", expected=SENSIBLE[name](coerced))
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


def _fields(name: str, value: Any, *, places: bool) -> list[tuple[str, Any]]:
    """The SolverParameter fields for one value: the field itself, or a net field per net."""
    if name not in INLINE and name not in INLINE.values():
        return [(name, value)]
    fields = []
    for net in value if isinstance(value, list) else [value]:
        inline = not isinstance(net, str)
        field = INLINE.get(name, name) if inline else name
        fields.append((field, _recomposed(net, places=places) if inline else net))
    return fields


def _recomposed(net: Any, *, places: bool) -> Any:
    """A net as a message of the current schema."""
    if isinstance(net, NetSpec):
        return NetSpec.__proto__(net) if places else NetSpec.to_proto(net)
    return schema().parse_bytes(net.SerializeToString(), "NetParameter")


def _parameter(declared: Option) -> inspect.Parameter:
    """A field as a keyword of the signature; those that name nets take NetSpecs too."""
    parameter = option_parameter(declared)
    if declared.name not in INLINE:
        return parameter
    return parameter.replace(annotation=list[NetSpec | str] if declared.repeated else NetSpec | str)


SolverSpec.__signature__ = inspect.Signature(  # type: ignore[attr-defined]
    [_parameter(declared) for declared in options().values()]
)
SolverSpec.__doc__ = f"{inspect.cleandoc(SolverSpec.__doc__ or '')}\n\nFields:\n" + "\n".join(
    map(option_line, options().values())
)
