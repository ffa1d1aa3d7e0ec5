"""autodiff_layer: a layer type of its own from one function."""

from __future__ import annotations

import inspect
import re
import typing
from collections.abc import Callable, Iterable, Sequence
from typing import Any, Literal, get_args, get_origin

from cafx.kernel import CafxError, Message, message, one_of, option
from cafx.kernel.schema import FillerParameter
from cafx_layer_jax.facts import Shapes, facts
from cafx_layer_jax.function import GIVEN, Function, options_text
from cafx_layer_jax.traced import Traced

KINDS = {float: "double", int: "int64", bool: "bool", str: "string"}
FILLER = "filler"


def autodiff_layer(
    function: Callable[..., Any] | None = None,
    *,
    name: str | None = None,
    tops: int = 1,
    loss: bool = False,
    parameters: Callable[..., Shapes] | None = None,
    fillers: Sequence[Any] = (),
    integer_bottoms: Sequence[int] = (),
    cases: Callable[[], Iterable[Any]] = tuple,
) -> Any:
    """Decorator: make a layer class of a function, with the gradient by automatic differentiation.

    The parameters that are passed by position are the bottoms (``*bottoms`` is any number); keyword-only ones are the
    options, with type, default and, from the section *Args* of the docstring, documentation. An option is a number,
    text, truth value, a ``Literal`` of texts, or a list of these. ``params``, ``phase`` and ``key`` are as for JAX.

    In a net.py or notebook, decorate the result with `cafx.dsl.layer`; in a distribution, name it as an entry point of
    the group ``cafx.layers``, or of ``cafx.losses`` if it is a loss.

    Args:
        function: the function, if the decorator has no arguments.
        name: the layer's type (default: the function's name).
        tops: number of tops, of each of which the function returns an array.
        loss: whether the first top is a loss, whose loss_weight defaults to 1.
        parameters, fillers, integer_bottoms: see `cafx_layer_jax.facts`.
        cases: the cases of the conformance suite.

    Returns:
        The class. Its ``function`` is the one that was decorated.

    Raises:
        CafxError: an option whose type cannot be one.

    Example:
        >>> import jax.numpy as jnp
        >>> from cafx.conformance import run_layer
        >>> from cafx.kernel import registry
        >>> @autodiff_layer
        ... def Softsign(x, *, scale: float = 1.0):
        ...     '''y = scale x / (1 + |x|), of bottom x and top y of any shape.
        ...
        ...     Args:
        ...         scale: factor.
        ...     '''
        ...     return scale * x / (1 + jnp.abs(x))
        >>> _ = registry().add("layer", "Softsign", Softsign)
        >>> run_layer("Softsign", [[1.0, -3.0]], options={"scale": 2}).tops[0].tolist()
        [1.0, -1.5]
        >>> registry().remove("layer", "Softsign")
    """

    def decorate(decorated: Callable[..., Any]) -> type[Traced]:
        facts(parameters=parameters, fillers=fillers, integer_bottoms=integer_bottoms)(decorated)
        type_name = name or decorated.__name__
        declared = inspect.signature(decorated, eval_str=True).parameters.values()
        required = [each for each in declared if each.kind in (each.POSITIONAL_ONLY, each.POSITIONAL_OR_KEYWORD)]
        variable = any(each.kind is each.VAR_POSITIONAL for each in declared)
        attributes = {
            "__doc__": decorated.__doc__,
            "__module__": decorated.__module__,
            "__qualname__": type_name,
            "Parameter": _declaration(decorated, type_name, declared, bool(parameters)),
            "bottoms": (len(required), None) if variable else len(required),
            "tops": tops,
            "is_loss": loss,
            "automatic_tops": loss,
            "integer_bottoms": tuple(integer_bottoms),
            "deterministic": "key" not in [each.name for each in declared],
            "function": staticmethod(decorated),
            "cases": staticmethod(cases),
        }
        return type(type_name, (AutodiffLayer,), attributes)

    return decorate if function is None else decorate(function)


class AutodiffLayer(Traced):
    """A layer whose function and options are known when its class is made."""

    def make_function(self) -> Function:
        """The function with the options that the net sets."""
        names = [each for each in self.options.__options__ if self.options.has(each) and each != FILLER]
        text = options_text({each: getattr(self.options, each) for each in names})
        return Function(type(self).function, text, self.phase)

    def fillers(self) -> Sequence[FillerParameter]:
        """The fillers that the net names."""
        given: Sequence[FillerParameter] = getattr(self.options, FILLER, ())
        return given


def _declaration(
    function: Callable[..., Any], type_name: str, declared: Iterable[inspect.Parameter], has_parameters: bool
) -> type[Message]:
    """The message of a function's options."""
    docs = _documentation(function)
    fields = {
        each.name: _option(function, each, docs.get(each.name, ""))
        for each in declared
        if each.kind is each.KEYWORD_ONLY and each.name not in GIVEN
    }
    if has_parameters:
        doc = "initialiser per parameter (default: what the function says)"
        fields[FILLER] = option(None, FillerParameter, repeated=True, doc=doc)
    title = f"{type_name}Parameter"
    about = {"__doc__": f"Options of {type_name}.", "__module__": function.__module__, "__qualname__": title}
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type_name).lower()
    return message(f"{words}_param")(type(title, (Message,), {**about, **fields}))


def _option(function: Callable[..., Any], declared: inspect.Parameter, doc: str) -> Any:
    """The option of a keyword-only parameter."""
    default = None if declared.default is declared.empty else declared.default
    kind = type(default) if declared.annotation is declared.empty else declared.annotation
    repeated, check = get_origin(kind) in (list, tuple, Sequence, typing.Sequence), None
    if repeated:
        kind = get_args(kind)[0]
    if get_origin(kind) is Literal:
        check, kind = one_of(*get_args(kind)), str
    if kind not in KINDS:
        raise CafxError(
            f"option '{declared.name}' of {function.__name__} has no type that a net's file holds",
            found=getattr(kind, "__name__", kind),
            expected="float, int, bool, str, a Literal of texts, or a list of these: gamma: float = 2.0",
        )
    number: int | None = None
    return option(number, KINDS[kind], None if repeated else default, doc=doc, repeated=repeated, check=check)


def _documentation(function: Callable[..., Any]) -> dict[str, str]:
    """What the section *Args* of a docstring says of each parameter, on one line each."""
    text = inspect.getdoc(function) or ""
    section = re.search(r"^Args:\n((?:[ \t]+.*\n?|\n)*)", text, re.M)
    found: dict[str, str] = {}
    current = ""
    for line in section[1].splitlines() if section else []:
        start = re.match(r"^ {4}(\w+)(?: \(.*?\))?: *(.*)", line)
        if start:
            current = start[1]
        found[current] = start[2] if start else f"{found.get(current, '')} {line.strip()}".strip()
    return found
