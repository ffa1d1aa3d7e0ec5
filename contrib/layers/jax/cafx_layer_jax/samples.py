"""Functions as layers: examples, and what the conformance suite runs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp

from cafx.kernel import Phase
from cafx_layer_jax.facts import facts


def swish(x: Any, *, beta: float = 1.0) -> Any:
    """y = x σ(βx), elementwise.

    Args:
        x: the bottom.
        beta: β.
    """
    return x * jax.nn.sigmoid(beta * x)


@facts(integer_bottoms=[1])
def focal_loss(scores: Any, labels: Any, *, gamma: float = 2.0) -> Any:
    """Focal loss, the mean of −(1 − p)ᵞ log p, where p is the softmax of the true class.

    Args:
        scores: bottom N×C.
        labels: bottom N, whole numbers below C.
        gamma: γ; 0 gives the softmax loss.

    Source: Lin et al., "Focal loss for dense object detection", 2017.
    """
    logs = jax.nn.log_softmax(scores)
    chosen = jnp.take_along_axis(logs, labels.astype(int).reshape(-1, 1), axis=1)
    return -jnp.sum((1 - jnp.exp(chosen)) ** gamma * chosen) / max(1, len(scores))


def bilinear(x: Any, y: Any, *, epsilon: float = 1e-6) -> Any:
    """Bilinear pooling, normalised: z = s / ‖s‖, with s the signed root of Σ xᵢ yᵢᵀ over places i.

    Args:
        x: bottom N×C×….
        y: bottom N×D×…, with as many places.
        epsilon: added below both roots.

    Returns:
        N×CD.

    Source: Lin et al., "Bilinear CNN models for fine-grained visual recognition", 2015.
    """
    first, second = (each.reshape(*each.shape[:2], -1) for each in (x, y))
    products = jnp.einsum("nci,ndi->ncd", first, second).reshape(len(x), x.shape[1] * y.shape[1])
    roots = jnp.sign(products) * jnp.sqrt(jnp.abs(products) + epsilon)
    return roots / jnp.sqrt(jnp.sum(roots**2, axis=1, keepdims=True) + epsilon)


def _factors(x: tuple[int, ...], *, rank: int, num_output: int) -> list[tuple[int, ...]]:
    return [(rank, x[-1]), (num_output, rank), (num_output,)]


@facts(parameters=_factors, fillers=["xavier", "xavier"])
def low_rank(x: Any, *, params: Any, rank: int, num_output: int) -> Any:
    """Inner product with a weight matrix of low rank: y = U V x + b.

    Args:
        x: bottom …×K.
        params: V (rank×K), U (num_output×rank) and b.
        rank: columns of U.
        num_output: length of the last axis of the top.
    """
    inner, outer, bias = params
    return x @ inner.T @ outer.T + bias


def moments(x: Any, *, axes: tuple[int, ...] = (-1,)) -> tuple[Any, Any]:
    """Mean and variance, as two tops.

    Args:
        x: the bottom.
        axes: axes over which they are taken.
    """
    return x.mean(axes), x.var(axes)


def noisy(x: Any, *, key: Any, phase: Phase, scale: float = 0.1) -> Any:
    """Multiplicative Gaussian noise in TRAIN phase: y = x (1 + scale ε).

    Args:
        x: the bottom.
        key: random key.
        phase: TRAIN or TEST, in which y = x.
        scale: standard deviation.
    """
    if phase is Phase.TEST:
        return x
    noise = jax.random.normal(key, x.shape, jnp.float32).astype(x.dtype)
    return x * (1 + scale * noise)
