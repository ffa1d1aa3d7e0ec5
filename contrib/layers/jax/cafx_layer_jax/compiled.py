"""A function and its gradient, compiled by JAX."""

from __future__ import annotations

import contextlib
import functools
import logging
import os
import sys
import traceback
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx_layer_jax.function import Function
from cafx_layer_python.reporting import UserCodeError

KEPT = 64
"""Functions whose compiled forms are kept for the nets to come."""
WHERE = "jax.numpy.where(condition, a, b) or jax.lax.cond chooses between values in place of if, and, or, not"
REMEDIES = {
    "TracerBoolConversionError": WHERE,
    "TracerArrayConversionError": "import jax.numpy as jnp, and use jnp in place of np",
    "TracerIntegerConversionError": "sizes and axes must not depend on values: make them options of the layer",
    "NonConcreteBooleanIndexError": "x[mask] has no fixed shape: use jax.numpy.where(mask, x, 0)",
    "ConcretizationTypeError": "float(), int() and .item() read a value: compute with arrays",
    "UnexpectedTracerError": "return all results; keep none in global variables or attributes",
}


@functools.cache
def runtime() -> Any:
    """The module ``jax``, imported when a layer first needs it.

    In a process without JAX, it is told not to reserve most of a GPU's memory, and not to warn that there is none.

    Raises:
        CafxError: JAX cannot be imported.
    """
    if "jax" not in sys.modules:
        os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    try:
        import jax
    except ImportError as error:
        raise CafxError(f"JAX cannot be imported: {error}", remedy="pip install --upgrade jax") from error
    logger = logging.getLogger("jax._src.xla_bridge")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        jax.devices("cpu")
    finally:
        logger.setLevel(level)
    return jax


class Compiled:
    """The forward pass and the gradients of a function, compiled once per shapes and type.

    The gradient computes again what it needs of the forward pass. So nothing is kept between the passes, and XLA
    leaves out what the gradient does not need. All methods are called within `running`.

    Args:
        function: the function.
    """

    def __init__(self, function: Function) -> None:
        self.function, self.jax = function, runtime()
        self._forward = self.jax.jit(function.tops)
        self._backward = self.jax.jit(self._gradients, static_argnums=4)

    def shapes(self, bottoms: Sequence[Any], params: Sequence[Any], dtype: npt.DTypeLike) -> list[Any]:
        """Shapes and types of the tops.

        Args:
            bottoms, params: shapes of the inputs and parameters.
            dtype: their type.

        Raises:
            CafxError: the function fails, or returns something else than arrays.
        """
        arrays = [tuple(self.jax.ShapeDtypeStruct(shape, dtype) for shape in each) for each in (bottoms, params)]
        return list(self.jax.eval_shape(self._checked_tops, *arrays, self.jax.ShapeDtypeStruct((2,), np.uint32)))

    def _checked_tops(self, bottoms: Any, params: Any, key: Any) -> Any:
        tops = self.function.tops(bottoms, params, key)
        for each in tops:
            if not isinstance(each, (self.jax.Array, np.ndarray, np.generic, float, int)):
                expected = "an array, or a tuple of arrays"
                raise CafxError(f"{self.function.name} returns no array", found=type(each).__name__, expected=expected)
        return tops

    def forward(self, bottoms: Sequence[Any], params: Sequence[Any], key: Any) -> Sequence[Any]:
        """The tops.

        Args:
            bottoms, params: JAX arrays.
            key: two random numbers of 32 bits, or None.
        """
        tops: Sequence[Any] = self._forward(tuple(bottoms), tuple(params), key)
        return tops

    def backward(
        self, bottoms: Sequence[Any], params: Sequence[Any], key: Any, diffs: Sequence[Any], needed: Sequence[bool]
    ) -> Sequence[Any]:
        """The gradients that are needed.

        Args:
            bottoms, params, key: as for `forward`.
            diffs: the tops' diffs.
            needed: for each bottom, then for each parameter, whether its gradient is needed.

        Returns:
            The gradients, in that order.
        """
        found: Sequence[Any] = self._backward(tuple(bottoms), tuple(params), key, tuple(diffs), tuple(needed))
        return found

    def _gradients(self, bottoms: Any, params: Any, key: Any, diffs: Any, needed: tuple[bool, ...]) -> Any:
        inputs = (*bottoms, *params)

        def tops(*chosen: Any) -> Any:
            remaining = iter(chosen)
            both = [next(remaining) if wanted else each for each, wanted in zip(inputs, needed, strict=True)]
            return self.function.tops(both[: len(bottoms)], both[len(bottoms) :], key)

        _, pull_back = self.jax.vjp(tops, *[each for each, wanted in zip(inputs, needed, strict=True) if wanted])
        return pull_back(diffs)

    @contextlib.contextmanager
    def running(self, dtype: npt.DTypeLike) -> Iterator[None]:
        """A context for the other methods: arrays have the net's type, and errors name function and line.

        Args:
            dtype: the net's type. Only within the context does JAX compute in float64.
        """
        try:
            with self.jax.enable_x64(np.dtype(dtype) == np.float64):
                yield
        except (KeyboardInterrupt, CafxError):
            raise
        except (Exception, SystemExit) as error:  # the user's function may raise anything
            raise failure(error, self.function.name) from error


@functools.lru_cache(KEPT)
def compiled(function: Function) -> Compiled:
    """The compiled form of a function, which layers of the same function and options share."""
    return Compiled(function)


def failure(error: BaseException, name: str) -> UserCodeError:
    """The error that names the function and the line, and says what JAX cannot do.

    Args:
        error: what was raised while the function ran or was traced.
        name: the function.
    """
    kinds = [each.__name__ for each in type(error).__mro__]
    remedy = next((REMEDIES[each] for each in kinds if each in REMEDIES), None)
    first = next(iter(str(error).strip().splitlines()), "").rstrip(".")
    frames = [each for each in traceback.extract_tb(error.__traceback__) if not _is_internal(each.filename)]
    line = f" ({frames[-1].filename}:{frames[-1].lineno})" if frames else ""
    return UserCodeError(f"{name} failed: {type(error).__name__}: {first}{line}", remedy=remedy)


def _is_internal(filename: str) -> bool:
    folders = Path(__file__).parent, Path(runtime().__file__).parent
    return filename.startswith("<") or any(folder in Path(filename).parents for folder in folders)
