"""MemoryData: batches from arrays in memory."""

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

    batch_size: int = option(1, "uint32", doc="examples per batch")
    channels: int = option(2, "uint32", doc="channels of an example")
    height: int = option(3, "uint32", doc="height of an example")
    width: int = option(4, "uint32", doc="width of an example")


class MemoryData(Layer):
    """Examples and labels from arrays passed to `reset`, batch by batch and repeatedly.

    Bottoms: none. Tops: data N×C×H×W as given by the options, and labels N. No gradient.

    Raises:
        CafxError: an option that is missing or 0; a forward pass before `reset`; arrays whose shape or
            number of examples does not match the options.

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
    capturable = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Reshape the tops."""
        self.shape = self._shape()
        self.data: npt.NDArray[Any] | None = None
        self.labels: npt.NDArray[Any] = np.empty(0)
        self.position = self._restored = 0
        top[0].reshape(*self.shape)
        top[1].reshape(self.shape[0])

    def _shape(self) -> tuple[int, ...]:
        """The shape of a batch: four options or, as a dialect has it, any number of ``dim``."""
        options = self.options
        sizes = tuple(getattr(options, "dim", ())) or (
            options.batch_size,
            options.channels,
            options.height,
            options.width,
        )
        if not all(sizes):
            raise self.error(
                "batch_size, channels, height and width must be set",
                found=", ".join(str(each or 0) for each in sizes),
                expected="four positive numbers",
            )
        return tuple(int(each) for each in sizes)

    def reset(self, data: npt.ArrayLike, labels: npt.ArrayLike | None = None) -> None:
        """Read batches from these arrays from now on; they are not copied.

        Args:
            data: examples, of shape M×C×H×W, where M is a multiple of the batch size.
            labels: M labels, in any shape (default: zeros).

        Raises:
            CafxError: the arrays do not match the options or each other.
        """
        values = np.asarray(data)
        count = values.shape[0] if values.ndim else 0
        if values.shape[1:] != self.shape[1:] or not count or count % self.shape[0]:
            raise self.error(
                "shape mismatch of the data",
                found=shape_text(values.shape),
                expected=f"M×{shape_text(self.shape[1:])}, M a multiple of batch_size {self.shape[0]}",
            )
        classes = np.zeros(count, values.dtype) if labels is None else np.asarray(labels)
        if classes.size != count:
            raise self.error("wrong number of labels", found=classes.size, expected=count)
        self.data, self.labels = values, classes.reshape(count)
        self.position, self._restored = self._restored % count, 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: shapes are fixed by the options."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Copy the next batch to the tops."""
        if self.data is None:
            raise self.error("has no data yet", remedy="pass arrays to set_input_arrays or reset")
        batch = slice(self.position, self.position + self.shape[0])
        top[0].set_data(self.data[batch])
        top[1].set_data(self.labels[batch])
        self.position = batch.stop % len(self.data)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing: there are no bottoms."""

    def state(self) -> dict[str, Any]:
        """The position of the next batch."""
        return {"position": self.position}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue at this position in the current arrays or, before `reset`, in the next ones."""
        position = state.get("position")
        if not isinstance(position, int) or position < 0:
            raise self.error("cannot continue", found=f"position {position!r}", expected="the number of an item")
        if self.data is None:
            self._restored = position
        else:
            self.position = position % len(self.data)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Shapes only, since a prototxt cannot contain arrays; its own tests pass some to `reset`."""
        from cafx.conformance import Case

        checks = ("reshape-idempotent", "seeded", "resume", "engines", "device", "save-load", "precision", "no-growth")
        options = {"batch_size": 2, "channels": 3, "height": 4, "width": 5}
        yield Case("shapes", options=options, tops=2, skip=dict.fromkeys(checks, "has no arrays until reset"))
