"""Bases for the two commonest kinds of layer: one value in and one out, and losses."""

from __future__ import annotations

from typing import Any, ClassVar

from cafx.kernel.blob import Blob, shape_text
from cafx.kernel.net.layer import Arity, Layer


class NeuronLayer(Layer):
    """A layer whose top has its bottom's shape and may be its bottom.

    Worked in place, a layer finds in its bottom what it wrote there: its backward uses the top's
    data, or what its forward kept.
    """

    in_place = True

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has the bottom's shape."""
        top[0].reshape(*bottom[0].shape)


class LossLayer(Layer):
    """A layer of two bottoms, predictions N×… and targets N×…, whose top is one number.

    Its top counts 1 in the objective unless ``loss_weight`` says otherwise, and need not be named.
    """

    bottoms: ClassVar[Arity] = 2
    is_loss = True
    automatic_tops = True
    integer_bottoms: ClassVar[tuple[int, ...]] = (1,)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top is a scalar; predictions and targets have the same batch size."""
        if not bottom[0].shape or bottom[0].shape[:1] != bottom[1].shape[:1]:
            raise self.error(
                "predictions and targets differ in batch size",
                found=f"{shape_text(bottom[0].shape)} and {shape_text(bottom[1].shape)}",
                expected="the same first axis",
            )
        top[0].reshape()

    def loss_weight(self, top: list[Blob]) -> Any:
        """What the objective's gradient with respect to this loss is: the top's diff."""
        return top[0].diff.reshape(-1)[0]
