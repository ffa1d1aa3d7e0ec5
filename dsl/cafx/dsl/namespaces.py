"""``layers`` and ``params``: installed layers as functions, and enum values by name."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping
from enum import IntEnum
from typing import Any

from cafx.dsl.function import Function
from cafx.dsl.options import LAYER_OPTIONS, messages_by_field, own_message
from cafx.dsl.place import NoSuchNameError, user_place
from cafx.kernel.errors import CafxError, did_you_mean
from cafx.kernel.net import Layer, arity_text
from cafx.kernel.registry import registry
from cafx.kernel.schema import CORE_MESSAGES, FillerParameter, Message, NetState, Option, ParamSpec, messages_of, schema

SUFFIX = "Parameter"
CALL_DOCS = {
    "name": "the layer's name (default: the name of its first top)",
    "ntop": "number of tops that the call returns",
    "in_place": "overwrite the bottoms with the tops",
}
LayerFunction = Callable[..., Any]


class Layers:
    """Installed layers by type: ``L.Convolution(bottom, num_output=20, kernel_size=5)`` returns a top.

    Options of the layer's own message are keywords, or grouped as ``convolution_param=dict(…)``. Options of
    every layer (``name``, ``param``, ``include``, ``loss_weight``, …) are keywords too; other messages are
    passed as ``transform_param=dict(…)``. Enum values are names or ``P.Pooling.MAX``, repeated options are
    lists, messages are dicts. With ``ntop=2`` the call returns two tops, with ``ntop=0`` the layer itself.
    A plugin is imported when its layer is first used; ``help(L.Convolution)`` documents it.

    Args:
        function: the class of layers that calls create.

    Raises:
        CafxError: an unknown type or option, an invalid value, or a wrong number of bottoms or tops; it
            names the line of the call.

    >>> from cafx.dsl import layers as L, params as P
    >>> data, label = L.Input(shape=[dict(dim=[8, 3]), dict(dim=[8])], ntop=2)
    >>> scores = L.InnerProduct(data, num_output=10, weight_filler=dict(type="xavier"))
    >>> loss = L.SoftmaxWithLoss(scores, label, loss_param=dict(normalization=P.Loss.VALID))
    >>> [layer.type for layer in loss.to_proto().layer]
    ['Input', 'InnerProduct', 'SoftmaxWithLoss']
    """

    def __init__(self, function: type[Function] = Function) -> None:
        self._function = function
        self._functions: dict[str, tuple[type[Layer], LayerFunction]] = {}

    def __getattr__(self, name: str) -> LayerFunction:
        if name.startswith("__"):
            raise AttributeError(name)
        try:
            layer_class: type[Layer] = registry().load("layer", name)
        except CafxError as error:
            unknown = error if name in registry().names("layer") else _no_such_name(error)
            raise unknown.at(f"{user_place()}: L.{name}") from error.__cause__
        if name not in self._functions or self._functions[name][0] is not layer_class:
            self._functions[name] = layer_class, layer_function(name, layer_class, self._function)
        return self._functions[name][1]

    def __dir__(self) -> list[str]:
        return registry().names("layer")


def layer_function(name: str, layer_class: type[Layer], function: type[Function] = Function) -> LayerFunction:
    """The function that creates layers of one type, with signature and documentation.

    Args:
        name: the layer type.
        layer_class: its class.
        function: the class of the layer in a net that is being written.
    """

    def call(*bottoms: Any, **options: Any) -> Any:
        fn = function(name, bottoms, options)
        return fn if fn.ntop == 0 else fn.tops[0] if fn.ntop == 1 else fn.tops

    call.__name__ = call.__qualname__ = name
    call.__module__ = layer_class.__module__
    call.__signature__ = inspect.Signature(list(_parameters(layer_class)))  # type: ignore[attr-defined]
    call.__doc__ = layer_doc(layer_class)
    return call


def _parameters(layer_class: type[Layer]) -> Iterator[inspect.Parameter]:
    own = own_message(layer_class)
    options = {**LAYER_OPTIONS, **(own.__options__ if own else {})}
    if layer_class.bottoms != 0:
        yield inspect.Parameter("bottoms", inspect.Parameter.VAR_POSITIONAL)
    for name in [*(own.__options__ if own else ()), *LAYER_OPTIONS]:
        if name in options:
            yield option_parameter(options.pop(name))
    for name, default in (("ntop", 0 if layer_class.tops == 0 else 1), ("in_place", False)):
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=type(default))
    for name in messages_by_field(layer_class):
        yield inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=dict)
    if hasattr(layer_class, "take_keywords"):
        yield inspect.Parameter("keywords", inspect.Parameter.VAR_KEYWORD)


def option_parameter(declared: Option) -> inspect.Parameter:
    """A declared option as a keyword parameter of a signature."""
    kind = inspect.Parameter.KEYWORD_ONLY
    default = () if declared.repeated else declared.default
    return inspect.Parameter(declared.name, kind, default=default, annotation=_annotation(declared))


def _annotation(declared: Option) -> Any:
    single: Any = dict if declared.is_message else declared.kind
    short = getattr(declared.kind, "__short__", None)
    if short:
        single = dict | _annotation(declared.kind.__options__[short])
    if isinstance(single, str):
        names = {"string": str, "bytes": bytes, "bool": bool, "float": float, "double": float}
        single = names.get(single, int)
    return list[single] if declared.repeated else single


def layer_doc(layer_class: type[Layer]) -> str:
    """A layer's docstring, and every option with type, default and documentation."""
    own = own_message(layer_class)
    tops = arity_text(layer_class.tops)
    parts = [inspect.getdoc(layer_class) or "", f"Bottoms: {arity_text(layer_class.bottoms)}. Tops: {tops}."]
    if own:
        parts.append("Options:\n" + "\n".join(map(option_line, own.__options__.values())))
    shared = [f"    {name}: {doc}" for name, doc in CALL_DOCS.items()]
    shared += [option_line(each) for name, each in LAYER_OPTIONS.items() if name not in CALL_DOCS]
    parts.append("Options of every layer:\n" + "\n".join(shared))
    return "\n\n".join(parts)


def option_line(declared: Option) -> str:
    """An indented line with name, type, default and documentation of an option."""
    kind = declared.describe()
    has_default = declared.default is not None and not declared.repeated
    shown = declared.default.name if has_default and declared.is_enum else repr(declared.default)
    return f"    {declared.name} ({kind}{f', default {shown}' if has_default else ''}): {declared.doc}"


class Params:
    """Enum values by message: ``P.Pooling.MAX`` is the value MAX of PoolingParameter.

    Raises:
        CafxError: no such message or value.

    >>> from cafx.dsl import params as P
    >>> P.Loss.VALID.name, int(P.Solver.ADAM)
    ('VALID', 5)
    """

    def __getattr__(self, name: str) -> ParamValues:
        if name.startswith("__"):
            raise AttributeError(name)
        declaration = _declaration(name)
        if declaration is None:
            known = sorted(dir(self))
            raise NoSuchNameError(
                f"there is no message {name}{SUFFIX}",
                where=f"{user_place()}: P.{name}",
                remedy=did_you_mean(name, known),
            )
        return ParamValues(name, declaration)

    def __dir__(self) -> list[str]:
        return [name.removesuffix(SUFFIX) for name, each in schema().declarations.items() if _values(each)]


class ParamValues:
    """The enum values of one message, and its enums by name."""

    def __init__(self, name: str, declaration: type[Message]) -> None:
        self._name = name
        self._values = {**_values(declaration), **_enums(declaration)}

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        if name not in self._values:
            listed = ", ".join(self._values)
            raise NoSuchNameError(
                f"{self._name}{SUFFIX} has no value '{name}'",
                where=f"{user_place()}: P.{self._name}",
                expected=f"one of {listed}" if listed else None,
                remedy=did_you_mean(name, self._values),
            )
        return self._values[name]

    def __dir__(self) -> list[str]:
        return list(self._values)


def _declaration(name: str) -> type[Message] | None:
    """The message called ``name`` or ``nameParameter``; it imports as few plugins as possible."""
    candidates = (f"{name}{SUFFIX}", name)
    for each in messages_of([*CORE_MESSAGES, FillerParameter, ParamSpec, NetState]):
        if each.__name__ in candidates:
            return each
    if name in registry().names("layer"):
        own = own_message(registry().load("layer", name))
        if own is not None and own.__name__ in candidates:
            return own
    declarations = schema().declarations
    return next((declarations[each] for each in candidates if each in declarations), None)


def _enums(declaration: type[Message]) -> Mapping[str, type[IntEnum]]:
    nested = [item for base in reversed(declaration.__mro__) for item in vars(base).items()]
    return {name: each for name, each in nested if isinstance(each, type) and issubclass(each, IntEnum)}


def _values(declaration: type[Message]) -> Mapping[str, IntEnum]:
    own = {member.name: member for enum in _enums(declaration).values() for member in enum}
    added = {member.name: member for option in declaration.__options__.values() for member in option.added}
    return {**own, **added}


def _no_such_name(error: CafxError) -> NoSuchNameError:
    return NoSuchNameError(
        error.message, where=error.where, found=error.found, expected=error.expected, remedy=error.remedy
    )


layers = Layers()
params = Params()
