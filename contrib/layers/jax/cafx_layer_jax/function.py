"""A user's function and its options, as a function of bottoms, parameters and random numbers alone."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from cafx.kernel import CafxError, Phase
from cafx.kernel.errors import UnknownNameError, did_you_mean
from cafx_layer_jax.facts import Facts, Shapes, facts_of
from cafx_layer_python.loading import import_module

GIVEN = ("params", "phase", "key")
"""Keywords that the layer passes to functions that name them."""
LONGEST = 10_000
"""Characters that the text of options may have."""
PRNG = "threefry2x32"


def load_function(name: str) -> Callable[..., Any]:
    """The function called ``"module:function"``; the working directory is searched for the module, too.

    Raises:
        CafxError: no such name, or it is not a function.

    Example:
        >>> load_function("math:sqrt")(4)
        2.0
    """
    module, _, function = name.partition(":")
    if not function.isidentifier() or not all(part.isidentifier() for part in module.split(".")):
        raise CafxError(
            "function is not the name of one", found=f'"{name}"', expected='a module and a function: "losses:focal"'
        )
    loaded = import_module(module)
    found: Callable[..., Any] | None = getattr(loaded, function, None)
    if found is None or not callable(found) or isinstance(found, type):
        names = [each for each, value in vars(loaded).items() if inspect.isroutine(value) and each[:1] != "_"]
        what = "is not a function" if hasattr(loaded, function) else "does not exist"
        raise CafxError(
            f"'{function}' of module '{module}' {what}",
            expected="a function" + (f" ({', '.join(names)})" if names else ""),
            remedy=did_you_mean(function, names),
        )
    return found


def options_text(options: Mapping[str, Any]) -> str:
    """Options as a prototxt holds them: the keywords of a call.

    Raises:
        CafxError: a value that has no such form.

    Example:
        >>> options_text({"gamma": 2.0, "mode": "mean"})
        "gamma=2.0, mode='mean'"
    """
    text = ", ".join(f"{name}={value!r}" for name, value in options.items())
    try:
        parse_options(text)
    except CafxError:
        raise CafxError("options of a function", found=repr(dict(options)), expected="numbers, texts, lists") from None
    return text


def parse_options(text: str) -> dict[str, Any]:
    """Options from the keywords of a call; lists become tuples. Nothing in the text is run.

    Raises:
        CafxError: the text is not of this form.

    Example:
        >>> parse_options("gamma=2.0, shape=[2, 3]")
        {'gamma': 2.0, 'shape': (2, 3)}
    """
    expected = "literals by name, as in options: \"gamma=2.0, mode='mean'\""
    if len(text) > LONGEST:
        raise CafxError("options are too long", found=f"{len(text)} characters", expected=f"at most {LONGEST}")
    found: dict[str, Any] = {}
    try:
        call = ast.parse(f"_(\n{text}\n)", mode="eval").body
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Name) or call.args:
            raise ValueError("no keywords")
        found = {str(each.arg): _tuples(ast.literal_eval(each.value)) for each in call.keywords if each.arg is not None}
        if len(found) < len(call.keywords):
            raise ValueError("** or a name twice")
    except (SyntaxError, ValueError, TypeError, RecursionError, MemoryError):
        raise CafxError("options are not valid", found=f'"{text[:100]}"', expected=expected) from None
    return found


def _tuples(value: Any) -> Any:
    if isinstance(value, (list, tuple)):
        return tuple(map(_tuples, value))
    return {name: _tuples(each) for name, each in value.items()} if isinstance(value, dict) else value


@attrs.frozen
class Function:
    """A user's function with its options. Equal ones are compiled once.

    Args:
        function: the function: ``function(*bottoms, **options)`` returns an array, or a tuple of arrays. It gets its
            parameters, the phase, and a random key if it names ``params``, ``phase`` or ``key``.
        text: the options, as `options_text` writes them.
        phase: TRAIN or TEST.

    Attributes:
        options: the options.
        facts: what the function says about its layer.
        asks: which of ``params``, ``phase`` and ``key`` it names.

    Example:
        >>> doubled = Function(lambda x, *, by: by * x, "by=2", Phase.TEST)
        >>> doubled.tops((3,), (), None)
        (6,)
    """

    function: Callable[..., Any]
    text: str
    phase: Phase
    options: dict[str, Any] = attrs.field(init=False, eq=False)
    facts: Facts = attrs.field(init=False, eq=False)
    asks: frozenset[str] = attrs.field(init=False, eq=False)

    def __attrs_post_init__(self) -> None:
        names = self.signature.parameters
        object.__setattr__(self, "options", parse_options(self.text))
        object.__setattr__(self, "facts", facts_of(self.function))
        object.__setattr__(self, "asks", frozenset(each for each in GIVEN if each in names))

    @property
    def name(self) -> str:
        """The function's name, with its module."""
        return f"{self.function.__module__}.{getattr(self.function, '__name__', 'function')}"

    @property
    def signature(self) -> inspect.Signature:
        """The function's parameters."""
        try:
            return inspect.signature(self.function)
        except (TypeError, ValueError):
            raise CafxError("the function has no signature", found=repr(self.function), expected="def …") from None

    def check(self, bottoms: int) -> None:
        """Check that the function takes so many bottoms, and its options.

        Args:
            bottoms: number of bottoms.

        Raises:
            CafxError: it does not.
        """
        for name in self.options:
            if name in GIVEN:
                raise UnknownNameError(f"'{name}' is passed by the layer", remedy="leave it out of the options")
            if name not in self.known and not self._takes_all:
                raise UnknownNameError(
                    f"'{name}' is not an option of {self.name}",
                    expected=f"one of {', '.join(self.known)}" if self.known else "no options",
                    remedy=did_you_mean(name, self.known),
                )
        try:
            self.signature.bind(*[None] * bottoms, **self.options, **dict.fromkeys(self.asks))
        except TypeError as error:
            found = f"{bottoms} bottom{'s' * (bottoms != 1)}" + (f" and options {self.text}" if self.text else "")
            raise CafxError(f"{self.name} cannot be called: {error}", found=found) from None
        if ("params" in self.asks) != (self.facts.parameters is not None):
            remedy = f"decorate it: @cafx_layer_jax.facts(parameters=…) def {self.function.__name__}(…, *, params)"
            raise CafxError(f"{self.name} must both name params and state their shapes", remedy=remedy)

    @property
    def known(self) -> dict[str, Any]:
        """The function's options, with their defaults, if they have any."""
        named = self.signature.parameters.values()
        optional = [each for each in named if each.kind is each.KEYWORD_ONLY or each.default is not each.empty]
        return {each.name: each.default for each in optional if each.name not in GIVEN}

    @property
    def _takes_all(self) -> bool:
        return any(each.kind is each.VAR_KEYWORD for each in self.signature.parameters.values())

    def parameter_shapes(self, bottoms: Sequence[tuple[int, ...]]) -> Shapes:
        """The shapes of its parameters.

        Args:
            bottoms: the bottoms' shapes.
        """
        rule = self.facts.parameters
        if rule is None:
            return []
        options = {name: each for name, each in self.known.items() if each is not inspect.Parameter.empty}
        options |= self.options
        named = inspect.signature(rule).parameters.values()
        if not any(each.kind is each.VAR_KEYWORD for each in named):
            wanted = {each.name for each in named}
            options = {name: each for name, each in options.items() if name in wanted}
        return rule(*bottoms, **options)

    def tops(self, bottoms: Sequence[Any], params: Sequence[Any], key: Any) -> tuple[Any, ...]:
        """Call the function.

        Args:
            bottoms: the inputs.
            params: the parameters.
            key: two random numbers of 32 bits; None if it does not ask for a key.

        Returns:
            Its results, also a single one, as a tuple.
        """
        given: dict[str, Any] = {"params": tuple(params), "phase": self.phase}
        if "key" in self.asks:
            import jax

            given["key"] = jax.random.wrap_key_data(key, impl=PRNG)
        result = self.function(*bottoms, **self.options, **{name: given[name] for name in self.asks})
        return tuple(result) if isinstance(result, (tuple, list)) else (result,)
