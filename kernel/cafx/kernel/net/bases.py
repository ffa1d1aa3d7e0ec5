"""Base classes of elementwise layers and of losses."""

from __future__ import annotations

from typing import Any, ClassVar

from cafx.kernel.blob import Blob, shape_text
from cafx.kernel.net.layer import Arity, Layer


class NeuronLayer(Layer):
    """Base class of layers with one bottom and one top of the same shape, which may be the same blob.

    If they are the same blob, `forward` overwrites the bottom; `backward` must then use the top's data or
    what `forward` kept.

    Example:
        >>> import numpy as np
        >>> from cafx.kernel import schema
        >>> class Exponential(NeuronLayer):
        ...     def forward(self, bottom, top):
        ...         np.exp(bottom[0].data, out=top[0].mutable_data)
        ...
        ...     def backward(self, top, propagate_down, bottom):
        ...         if propagate_down[0]:
        ...             np.multiply(top[0].diff, top[0].data, out=bottom[0].mutable_diff)
        >>> layer = Exponential(schema()["LayerParameter"](name="exp", type="Exponential"))
        >>> x = Blob((2,))
        >>> x.set_data([0, 0])
        >>> layer.forward([x], [x])
        >>> x.data.tolist()
        [1.0, 1.0]
    """

    in_place = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the top the shape of the bottom; arguments as for `Layer.reshape`."""
        top[0].reshape(*bottom[0].shape)


class LossLayer(Layer):
    """Base class of losses: the bottoms are predictions, N×…, and targets, N×…; the top is a scalar.

    The loss_weight of the top defaults to 1, and the top may be left unnamed. By default the targets are
    labels, which have no gradient; a loss with two differentiable bottoms sets ``integer_bottoms = ()``.

    Example:
        >>> from cafx.kernel import schema
        >>> class MeanError(LossLayer):
        ...     def forward(self, bottom, top):
        ...         top[0].mutable_data[...] = (bottom[0].data - bottom[1].data).mean()
        ...
        ...     def backward(self, top, propagate_down, bottom):
        ...         self.refuse_gradients(propagate_down)
        ...         bottom[0].mutable_diff[...] = self.loss_weight(top) / bottom[0].count_
        >>> layer = MeanError(schema()["LayerParameter"](name="loss", type="MeanError"))
        >>> x, y, loss = Blob((2, 1)), Blob((2, 1)), Blob()
        >>> x.set_data([3, 5])
        >>> layer.reshape([x, y], [loss])
        >>> layer.forward([x, y], [loss])
        >>> float(loss.data)
        4.0
    """

    bottoms: ClassVar[Arity] = 2
    is_loss = True
    automatic_tops = True
    integer_bottoms: ClassVar[tuple[int, ...]] = (1,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the top a scalar; arguments as for `Layer.reshape`.

        Raises:
            CafxError: predictions and targets differ in batch size.
        """
        if not bottom[0].shape or bottom[0].shape[:1] != bottom[1].shape[:1]:
            raise self.error(
                "predictions and targets differ in batch size",
                found=f"{shape_text(bottom[0].shape)} and {shape_text(bottom[1].shape)}",
                expected="the same first axis",
            )
        top[0].reshape()

    def loss_weight(self, top: list[Blob]) -> Any:
        """The derivative of the objective with respect to this loss.

        Args:
            top: the outputs, of which the first is the loss; the derivative is its diff.
        """
        return top[0].diff.reshape(-1)[0]
