"""MemoryData: batches from arrays that a program hands over."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Blob, Layer, Message, TransformationParameter, message, option
from cafx.kernel.blob import shape_text

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("memory_data_param", 119)
class MemoryDataParameter(Message):
    """Options of MemoryData."""

    batch_size: int = option(1, "uint32", doc="examples a batch")
    channels: int = option(2, "uint32", doc="planes of an example")
    height: int = option(3, "uint32", doc="its rows")
    width: int = option(4, "uint32", doc="its columns")


class MemoryData(Layer):
    """Examples and labels from arrays handed over with `reset`, batch by batch, over and over.

    Bottoms: none. Tops: data N×C×H×W as the options state, and labels N. No gradient.

    Raises:
        CafxError: an option missing or 0; a forward before any arrays; arrays of another shape, or
            that are no whole number of batches.

    Source: Caffe's layer catalogue; pycaffe's ``set_input_arrays``.
    """

    Parameter = MemoryDataParameter
    declares = (TransformationParameter,)
    options: MemoryDataParameter
    bottoms = 0
    tops = 2
    deterministic = False
    keeps_state = True
    forward_only = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give the tops their shapes; there are no arrays yet."""
        options = self.options
        sizes = (options.batch_size, options.channels, options.height, options.width)
        if not all(sizes):
            raise self.error(
                "batch_size, channels, height and width must be stated",
                found=", ".join(str(each or 0) for each in sizes), expected="four positive numbers",
            )  # fmt: skip
        self.shape = tuple(int(each) for each in sizes)
        self.data: npt.NDArray[Any] | None = None
        self.labels: npt.NDArray[Any] = np.empty(0)
        self.position = self._awaited = 0
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0])

    def reset(self, data: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> None:
        """Read from these arrays from now on; they are not copied, so changes to them count.

        Args:
            data: M×C×H×W, M a whole number of batches.
            labels: M of them, in any shape; zeros if left out.

        Raises:
            CafxError: arrays that do not fit the layer or each other.
        """
        values = np.asarray(data)
        count = values.shape[0] if values.ndim else 0
        if values.shape[1:] != self.shape[1:] or not count or count % self.shape[0]:
            raise self.error(
                "cannot use these arrays", found=shape_text(values.shape),
                expected=f"M×{shape_text(self.shape[1:])}, M a multiple of batch_size {self.shape[0]}",
            )  # fmt: skip
        marks = np.zeros(count, values.dtype) if labels is None else np.asarray(labels)
        if marks.size != count:
            raise self.error("cannot use these labels", found=f"{marks.size} labels", expected=count)
        self.data, self.labels = values, marks.reshape(count)
        self.position, self._awaited = self._awaited % count, 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops stay as the options state."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The next batch."""
        if self.data is None:
            raise self.error("has no data yet", remedy="hand arrays over with set_input_arrays or reset")
        batch = slice(self.position, self.position + self.shape[0])
        top[0].set_data(self.data[batch])
        top[1].set_data(self.labels[batch])
        self.position = batch.stop % len(self.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """There is nothing below."""

    def state(self) -> dict[str, Any]:
        """Where the next batch begins."""
        return {"position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on there: in the arrays handed over before, or else in those to come."""
        position = int(state["position"])
        if self.data is None:
            self._awaited = position
        else:
            self.position = position % len(self.data)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Its shapes; as it runs on arrays no prototxt can hold, its own tests hand some over."""
        from cafx.conformance import Case

        checks = (
            "reshape-idempotent", "seeded", "resume", "engines", "device", "save-load", "precision",
            "no-growth",
        )  # fmt: skip
        options = {"batch_size": 2, "channels": 3, "height": 4, "width": 5}
        yield Case("shapes", options=options, tops=2, skip=dict.fromkeys(checks, "has no arrays until reset"))
