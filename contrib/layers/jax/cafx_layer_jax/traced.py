"""Traced: the layer that a function and its gradient make."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from cafx.kernel import Blob, CafxError, Layer
from cafx.kernel.schema import FillerParameter
from cafx_layer_jax.arrays import arrays_of
from cafx_layer_jax.compiled import compiled
from cafx_layer_jax.function import Function
from cafx_layer_python.reporting import UserCodeError


class Traced(Layer):
    """(y₁, y₂, …) = f(x₁, x₂, …), with gradients by reverse-mode automatic differentiation.

    Bottoms, tops: what the function takes and returns. A subclass says which function it is.

    Raises:
        CafxError: the function fails, does not take the bottoms or options, cannot be traced, or returns something else
            than arrays of the net's type.
    """

    bottoms = (1, None)
    tops = (1, None)
    capturable = False

    def make_function(self) -> Function:
        """The function with its options, and the phase."""
        raise NotImplementedError

    def fillers(self) -> Sequence[FillerParameter]:
        """How the parameters are initialised; none for what the function says of itself."""
        return ()

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Find the function, check its options and create its parameters."""
        try:
            self.function = self.make_function()
            self.function.check(len(bottom))
            self.integer_bottoms = self.function.facts.integer_bottoms  # type: ignore[misc]  # facts of this function
            shapes = self.function.parameter_shapes([each.shape for each in bottom])
            self._compiled = compiled(self.function)
        except CafxError as error:
            raise error.at(self.where) from error.__cause__
        except Exception as error:  # the rule of the parameters' shapes is the user's, too
            raise UserCodeError(f"{self.function.name}: parameters failed: {error}", where=self.where) from error
        self._arrays = arrays_of(self.context.place, self.xp)
        self._key: Any = None
        self.blobs.clear()
        self.param_propagate_down.clear()
        fillers = self._checked_fillers(len(shapes))
        for shape, filler in zip(shapes, fillers, strict=True):
            self.add_parameter(tuple(shape), filler)

    def _checked_fillers(self, count: int) -> list[FillerParameter]:
        given = [*(self.fillers() or self.function.facts.fillers)]
        if len(given) > count:
            raise self.error("more fillers than parameters", found=len(given), expected=f"at most {count}")
        return given + [FillerParameter()] * (count - len(given))

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops have the shapes that the function returns."""
        shapes = [[each.shape for each in blobs] for blobs in (bottom, self.blobs)]
        dtype = self.context.dtype
        with self._running():
            found = self._compiled.shapes(*shapes, dtype)
        name = self.function.name
        if len(found) != len(top):
            remedy = "set the number of tops" + (" with ntop" if len(found) > len(top) else "")
            raise self.error(f"{name} returns {len(found)} arrays", expected=f"{len(top)}, one per top", remedy=remedy)
        for index, (each, blob) in enumerate(zip(found, top, strict=True)):
            if each.dtype != dtype:
                remedy = "convert it: y.astype(x.dtype)"
                what = f"result {index} of {name} has another type"
                raise self.error(what, found=each.dtype, expected=np.dtype(dtype), remedy=remedy)
            blob.reshape(*each.shape)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Run the function, with a new key if it asks for one."""
        if "key" in self.function.asks:
            self._key = self.rng.integers(0, 1 << 32, 2, np.uint32)
        with self._running():
            found = self._compiled.forward(self._read(bottom), self._read(self.blobs), self._key)
            for blob, result in zip(top, found, strict=True):
                self._arrays.write(blob.synced_data, blob.shape, result)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Run the gradient of what is needed, with the key of the last forward pass."""
        self.refuse_gradients(propagate_down)
        needed = (*propagate_down, *self.param_propagate_down)
        if not any(needed):
            return
        with self._running():
            diffs = [self._arrays.read(each.synced_diff, each.shape) for each in top]
            inputs, params = self._read(bottom), self._read(self.blobs)
            found = iter(self._compiled.backward(inputs, params, self._key, diffs, needed))
            for blob in (each for each, wanted in zip(bottom, propagate_down, strict=True) if wanted):
                self._arrays.write(blob.synced_diff, blob.shape, next(found))
            for blob in (each for each, wanted in zip(self.blobs, self.param_propagate_down, strict=True) if wanted):
                self._arrays.add(blob.synced_diff, blob.shape, next(found))

    @contextlib.contextmanager
    def _running(self) -> Iterator[None]:
        try:
            with self._compiled.running(self.context.dtype):
                yield
        except CafxError as error:
            raise error.at(self.where) from error.__cause__

    def _read(self, blobs: Sequence[Blob]) -> list[Any]:
        return [self._arrays.read(each.synced_data, each.shape) for each in blobs]
