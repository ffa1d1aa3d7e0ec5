"""Layers from one Python function: JAX compiles it and its gradient."""

from __future__ import annotations

from cafx_layer_jax.autodiff import autodiff_layer
from cafx_layer_jax.facts import Facts, facts
from cafx_layer_jax.function import Function
from cafx_layer_jax.layer import JAX, JAXParameter
from cafx_layer_jax.traced import Traced

__all__ = ["JAX", "Facts", "Function", "JAXParameter", "Traced", "autodiff_layer", "facts"]
