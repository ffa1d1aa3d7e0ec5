"""Scoring crops of images by a deploy net."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Net
from cafx_lib_feed.images import Image, planes, resize
from cafx_lib_inputs.files import read_mean

Array = npt.NDArray[np.float32]
AXES = 4


class Scorer:
    """A deploy net, and how crops become its input: resized, minus a mean, times a scale.

    Args:
        net: the net, which has one input N×C×H×W.
        mean: what to subtract, see `read_mean`; None for nothing.
        scale: factor after the mean is subtracted.
        output: the blob with a score per class; None for the net's last output.
        batch: number of crops per pass; None for the batch size of the net.

    Raises:
        CafxError: the net has no such input or output.
    """

    def __init__(
        self, net: Net, mean: str | None = None, scale: float = 1.0, output: str | None = None, batch: int | None = None
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
        self.channels, self.height, self.width = shape[1:]
        self.mean = read_mean(mean, shape[1:]) if mean else None
        self.scale = np.float32(scale)
        self.output = output or net.outputs[-1]
        if self.output not in net.outputs:
            raise CafxError(f"no output '{self.output}'", where=net.name, expected=" or ".join(net.outputs))

    def prepare(self, crop: Image) -> Array:
        """A crop (uint8, H×W×C, BGR) as the net's input, C×H×W."""
        if crop.shape[:2] != (self.height, self.width):
            crop = resize(crop, self.height, self.width)
        values = planes(crop).astype(np.float32)
        if self.mean is not None:
            values -= self.mean
        return values * self.scale

    def scores(self, inputs: Iterable[Array]) -> Iterator[Array]:
        """The scores of each input, of one axis; a pass runs on ``batch`` inputs."""
        rest = iter(inputs)
        while group := list(islice(rest, self.batch)):
            values: Any = self.net.forward(**{self.input: np.stack(group)})[self.output]
            if not values.ndim or len(values) != len(group):
                raise CafxError(
                    f"output '{self.output}' has no score per image",
                    where=self.net.name,
                    found="×".join(map(str, values.shape)) or "one number",
                    expected=f"{len(group)}×classes",
                    remedy="--output names another output" if len(self.net.outputs) > 1 else None,
                )
            yield from values.reshape(len(group), -1)
