"""Scoring images by a deploy net."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Net
from cafx_lib_feed.images import Image
from cafx_lib_preprocessing import Converter, Preprocessing

Array = npt.NDArray[np.float32]
AXES = 4


class Scorer:
    """A deploy net, and how images become its input.

    Args:
        net: the net, which has one input N×C×H×W.
        preprocessing: what happens to images; the net's input decides what it leaves open.
        output: the blob with a score per class; None for the net's last output.
        batch: number of crops per pass; None for the batch size of the net.

    Raises:
        CafxError: the net has no such input or output, or the preprocessing does not fit it.

    Attributes:
        preprocessing: the record, with what the net's input decides.
        channels, height, width: shape of the net's input.
    """

    def __init__(
        self, net: Net, preprocessing: Preprocessing | None = None, output: str | None = None, batch: int | None = None
    ) -> None:
        remedy = "name the deploy prototxt: its first layer is Input, or it begins with 'input:'"
        if not net.inputs:
            raise CafxError("the net has no input: it reads its own data", where=net.name, remedy=remedy)
        self.input = net.inputs[0]
        shape = net.blobs[self.input].shape
        if len(shape) != AXES or len(net.inputs) > 1:
            found = ", ".join(f"'{name}' {'×'.join(map(str, net.blobs[name].shape))}" for name in net.inputs)
            raise CafxError("the net's input is not images", where=net.name, found=found, expected="one input N×C×H×W")
        self.net = net
        self.batch = batch or shape[0]
        self.preprocessing = (preprocessing or Preprocessing()).for_input(shape, net.name)
        self.converter = Converter(self.preprocessing)
        self.channels, self.height, self.width = self.preprocessing.depth, self.converter.height, self.converter.width
        self.output = output or net.outputs[-1]
        self._check_output(self.output)

    def prepare(self, crop: Image) -> Array:
        """A whole image (uint8, H×W×C, BGR), such as a window of another, as one input."""
        return self.converter.prepare(crop)

    def crops(self, image: Image) -> Array:
        """The inputs of an image (uint8, H×W×C, BGR), as many as `Preprocessing.crops` says."""
        return self.converter.apply(image)

    def scores(self, inputs: Iterable[Array]) -> Iterator[Array]:
        """The scores of each input, of one axis; a pass runs on ``batch`` inputs."""
        return (scores for (scores,) in self.values(inputs, [self.output]))

    def values(self, inputs: Iterable[Array], outputs: Sequence[str]) -> Iterator[tuple[Array, ...]]:
        """The values of each input in several blobs, each of one axis.

        Args:
            inputs: as `prepare` returns them; a pass runs on ``batch`` of them.
            outputs: names of blobs among the net's outputs.

        Raises:
            CafxError: one of them is no output, or has no values per input.
        """
        for name in outputs:
            self._check_output(name)
        rest = iter(inputs)
        while group := list(islice(rest, self.batch)):
            found: Any = self.net.forward(**{self.input: np.stack(group)})
            yield from zip(*(self._per_input(name, found[name], len(group)) for name in outputs), strict=True)

    def _per_input(self, name: str, values: Any, count: int) -> Array:
        if not values.ndim or len(values) != count:
            raise CafxError(
                f"output '{name}' has no score per image",
                where=self.net.name,
                found="×".join(map(str, values.shape)) or "one number",
                expected=f"{count}×classes",
                remedy="--output names another output" if len(self.net.outputs) > 1 else None,
            )
        return np.asarray(values.reshape(count, -1), np.float32)

    def _check_output(self, name: str) -> None:
        if name not in self.net.outputs:
            raise CafxError(f"no output '{name}'", where=self.net.name, expected=" or ".join(self.net.outputs))

    def classify(self, images: Iterable[Image]) -> Iterator[Array]:
        """The scores of each image: the mean of those of its crops."""
        count = self.preprocessing.crops
        scores = self.scores(crop for image in images for crop in self.crops(image))
        while group := list(islice(scores, count)):
            yield np.mean(group, axis=0)
