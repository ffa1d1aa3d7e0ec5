"""Conversion of keyword arguments to a LayerParameter: the message of each option, and its validation."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from google.protobuf.message import Message as Proto

from cafx.kernel.errors import CafxError, UnknownNameError, did_you_mean
from cafx.kernel.net import Layer
from cafx.kernel.schema import (
    LayerParameter,
    LossParameter,
    Message,
    Option,
    TransformationParameter,
    complete,
    declared_by,
    schema,
)

LAYER = "LayerParameter"
CALL_OPTIONS = ("ntop", "in_place")
NOT_OPTIONS = ("type", "blobs", "cafx_place")
"""Fields of LayerParameter that are not options of a call."""
LAYER_OPTIONS = {name: declared for name, declared in LayerParameter.__options__.items() if name not in NOT_OPTIONS}


def plain(value: Any) -> Any:
    """A value as numbers, strings, lists and dicts.

    Args:
        value: anything, with messages, arrays and iterables at any depth.

    >>> plain(dict(shape=({"dim": range(2)},)))
    {'shape': [{'dim': [0, 1]}]}
    """
    if isinstance(value, Proto):
        return {field.name: plain(each) for field, each in value.ListFields()}
    if isinstance(value, Message):
        return {name: plain(getattr(value, name)) for name in value.__options__ if value.has(name)}
    if isinstance(value, Mapping):
        return {name: plain(each) for name, each in value.items()}
    if hasattr(value, "tolist"):
        return value.tolist()
    if isinstance(value, Iterable) and not isinstance(value, (str, bytes, bytearray, memoryview)):
        return [plain(each) for each in value]
    return value


def written_out(declared: Option, value: Any) -> Any:
    """A value in which short forms of messages are written out: ``"xavier"``, or a list of lengths for a shape.

    Args:
        declared: the option.
        value: its value, as `plain` returns it.

    >>> from cafx.dsl import layers as L
    >>> data = L.Input(shape=[1, 3, 8, 8])
    >>> ip = L.InnerProduct(data, num_output=10, weight_filler="xavier").to_proto().layer[1]
    >>> ip.inner_product_param.weight_filler.type
    'xavier'
    """
    if not declared.is_message or not isinstance(declared.kind, type):
        return value
    if not declared.repeated or not isinstance(value, list):
        return _message_written_out(declared.kind, value)
    single = value and _is_short(declared.kind, value)
    return [_message_written_out(declared.kind, each) for each in ([value] if single else value)]


def _message_written_out(kind: Any, value: Any) -> Any:
    if isinstance(value, dict):
        known = kind.__options__
        return {name: written_out(known[name], each) if name in known else each for name, each in value.items()}
    return {kind.__short__: value} if _is_short(kind, value) else value


def _is_short(kind: Any, value: Any) -> bool:
    """Whether a value is that of the option by which a message may be given alone."""
    short = kind.__options__.get(getattr(kind, "__short__", None))
    if short is None or isinstance(value, dict):
        return False
    try:
        short.coerce(value)
    except CafxError:
        return False
    return True


def own_message(layer_class: type[Layer]) -> type[Message] | None:
    """The message whose options are keywords of a layer's call, with those that dialects add."""
    return complete(layer_class.Parameter) if layer_class.Parameter else None


def messages_by_field(layer_class: type[Layer]) -> dict[str, type[Message]]:
    """The messages that a call takes as ``…_param=dict(…)``, found without composing the schema."""
    known: list[type[Message]] = [*declared_by(layer_class), TransformationParameter, LossParameter]
    return {
        each.__extends__.field: complete(each)
        for each in known
        if each.__extends__ is not None and each.__extends__.target == LAYER
    }


def make_layer(layer_class: type[Layer], values: Mapping[str, Any]) -> Any:
    """The LayerParameter with some options set.

    Args:
        layer_class: the layer.
        values: options by name, those of messages flat or as dicts.

    Raises:
        CafxError: an unknown option or an invalid value.
    """
    layer, messages = check_options(layer_class, values)
    composed = schema()
    proto = composed[LAYER]()
    layer.fill(proto)
    for field, message in messages.items():
        if not hasattr(proto, field):
            raise composed.clashes.get(field) or CafxError(f"'{field}' is not in the schema")
        message.fill(getattr(proto, field))
    return proto


def check_options(layer_class: type[Layer], values: Mapping[str, Any]) -> tuple[LayerParameter, dict[str, Message]]:
    """Validate options, and group them into LayerParameter's own fields and its messages by field.

    If the class of the layer has a class method ``take_keywords``, the options that no message declares are its affair:
    called with these and the layer's own options, it returns the layer's options.
    """
    own = own_message(layer_class)
    own_field = own.__extends__.field if own and own.__extends__ else ""
    known = messages_by_field(layer_class)
    if own and hasattr(layer_class, "take_keywords"):
        values = _with_keywords_taken(layer_class, own, values)
    layer: dict[str, Any] = {}
    flat: dict[str, Any] = {}
    nested: dict[str, dict[str, Any]] = {}
    for name, value in values.items():
        if value is None:
            continue
        if own and name in own.__options__:
            flat[name] = written_out(own.__options__[name], plain(value))
        elif name in LAYER_OPTIONS:
            layer[name] = plain(value)
        else:
            if name not in known:
                known = {**schema().fields_of(LAYER), **known}
            if name not in known:
                raise _unknown(layer_class, name, known)
            nested[name] = _fields(name, plain(value), known[name])
    if flat:
        nested[own_field] = {**nested.get(own_field, {}), **flat}
    return LayerParameter(**layer), {field: known[field](**each) for field, each in nested.items()}


def _with_keywords_taken(layer_class: Any, own: type[Message], values: Mapping[str, Any]) -> dict[str, Any]:
    given = {name: value for name, value in values.items() if value is not None}
    options = {name: plain(given.pop(name)) for name in own.__options__ if name in given}
    further = given.keys() - LAYER_OPTIONS.keys() - messages_by_field(layer_class).keys()
    if further:
        further -= schema().fields_of(LAYER).keys()
    keywords = {name: plain(given.pop(name)) for name in values if name in further}
    return {**given, **layer_class.take_keywords(keywords, options)}


def _fields(name: str, value: Any, declared: type[Message]) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise CafxError(f"option '{name}'", found=repr(value), expected=f"dict(…) of {declared.__name__}'s options")
    fields: dict[str, Any] = _message_written_out(declared, value)
    return fields


def _unknown(layer_class: type[Layer], name: str, known: Mapping[str, type[Message]]) -> CafxError:
    own = own_message(layer_class)
    names = [*(own.__options__ if own else ()), *CALL_OPTIONS, *LAYER_OPTIONS, *known]
    holder = next((field for field, each in messages_by_field(layer_class).items() if name in each.__options__), None)
    remedy = f"write {holder}=dict({name}=…)" if holder else did_you_mean(name, names)
    expected = f"one of {', '.join(own.__options__)}" if own else "an option of every layer"
    return UnknownNameError(f"unknown option '{name}'", expected=expected, remedy=remedy)


def assign(proto: Any, name: str, value: Any) -> None:
    """Set a field of a protobuf message.

    Args:
        proto: the message.
        name: the field.
        value: numbers, strings, lists, dicts or messages. Enum values may be names, and a repeated field
            takes a single value as a list of one.

    Raises:
        CafxError: no such field, or an invalid value.

    >>> from cafx.kernel.schema import schema
    >>> net = schema()["NetParameter"]()
    >>> assign(net, "state", dict(phase="TEST", stage="deploy"))
    >>> net.state.phase, list(net.state.stage)
    (1, ['deploy'])
    """
    if name not in proto.DESCRIPTOR.fields_by_name:
        raise UnknownNameError(
            f"{proto.DESCRIPTOR.name} has no field '{name}'", remedy=did_you_mean(name, proto.DESCRIPTOR.fields_by_name)
        )
    field, value = proto.DESCRIPTOR.fields_by_name[name], plain(value)
    target = getattr(proto, name)
    repeated = hasattr(target, "extend")
    if repeated and not isinstance(value, list):
        value = [value]
    try:
        if field.message_type is not None:
            for item in value if repeated else [value]:
                message = target.add() if repeated else target
                message.SetInParent()
                for inner_name, inner_value in item.items():
                    assign(message, inner_name, inner_value)
        elif repeated:
            target.extend(_number(field, item) for item in value)
        else:
            setattr(proto, name, _number(field, value))
    except (TypeError, ValueError, AttributeError):
        raise CafxError(f"field '{name}' of {proto.DESCRIPTOR.name}", found=repr(value)) from None


def _number(field: Any, value: Any) -> Any:
    by_name = field.enum_type is not None and isinstance(value, str)
    if by_name and value not in field.enum_type.values_by_name:
        raise ValueError(value)
    return field.enum_type.values_by_name[value].number if by_name else value
