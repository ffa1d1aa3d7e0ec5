"""Images: a batch of 8-bit windows and what makes floats of them, and the place that keeps it."""

from __future__ import annotations

import itertools
import threading
from typing import TYPE_CHECKING, Any

import attrs
import numpy.typing as npt

from cafx.kernel.blob import Place
from cafx.kernel.net import default_threads

if TYPE_CHECKING:
    from cafx_lib_pixels.streaming import Stream

Array = npt.NDArray[Any]
SHARE = 1 << 20
"""Values that are worth a thread of their own."""
MARKS = 3
"""Columns of `Images.marks`."""


@attrs.frozen(eq=False)
class Images:
    """8-bit images, and the floats that windows of them stand for: y = mirror((pixels − mean) · scale).

    Attributes:
        stored: uint8, row-major, N×C×H×W or, as decoders write them, N×H×W×C: whole images, or the windows only.
        marks: int32 of shape N×3: whether an image is mirrored, and the first row and column of its window.
        stream: the conversion; it has the mean, the scale and the window's shape.
        whole: whether whole images are stored; else rows and columns of `marks` are those of the mean image only.

    Example:
        >>> import numpy as np
        >>> from cafx_lib_pixels.streaming import Stream
        >>> stored = np.arange(20, dtype=np.uint8).reshape(1, 1, 1, 20)
        >>> stream = Stream(stored.strides[1:], (1, 1, 16), np.full((1, 1, 1), 5, np.float32), 2)
        >>> images = Images(stored, np.array([[True, 0, 3]], np.int32), stream, whole=True)
        >>> floats = np.empty(images.shape, np.float32)
        >>> images.write(floats)
        >>> floats[0, 0, 0, :4].tolist()
        [26.0, 24.0, 22.0, 20.0]
    """

    stored: Array
    marks: Array
    stream: Stream
    whole: bool

    @property
    def shape(self) -> tuple[int, ...]:
        """N×C×H×W of the windows."""
        return (len(self.stored), *self.stream.shape)

    @property
    def start_strides(self) -> tuple[int, int]:
        """Bytes by which a window begins later, per row and per column of its position."""
        return self.stream.strides[1:] if self.whole else (0, 0)

    def write(self, out: Array) -> None:
        """Write the floats, in several threads if there are many.

        Args:
            out: float32 of shape N×C×H×W in row-major order.
        """
        count = max(1, min(default_threads(), len(out), out.size // SHARE))
        bounds = [len(out) * part // count for part in range(count + 1)]
        parts = list(itertools.pairwise(bounds))
        threads = [threading.Thread(target=self._write_some, args=(out, *part)) for part in parts[1:]]
        for thread in threads:
            thread.start()
        self._write_some(out, *parts[0])
        for thread in threads:
            thread.join()

    def _write_some(self, out: Array, first: int, last: int) -> None:
        """Write the floats of images ``first`` to ``last`` - 1; the interpreter lock is released for each."""
        source, step, (row, column) = self.stored.ctypes.data, self.stored.strides[0], self.start_strides
        target, size = out.ctypes.data, out.strides[0]
        for index, (flip, top, left) in enumerate(self.marks[first:last].tolist(), first):
            window = source + index * step + top * row + left * column
            self.stream.run(window, top, left, flip, target + index * size)


class ImagePlace(Place):
    """Where data layers leave batches of 8-bit images: its arrays are `Images`, and nobody else writes there."""

    name = "8-bit images"
    shareable = False

    def allocate(self, count: int, dtype: npt.DTypeLike) -> Any:
        """Not possible: the images come from a data layer."""
        raise TypeError("only data layers make 8-bit images")

    def from_host(self, host: Array, array: Any) -> None:
        """Not possible: floats cannot become bytes again."""
        raise TypeError("only data layers make 8-bit images")

    def to_host(self, array: Images, host: Array) -> None:
        """The floats they stand for."""
        array.write(host.reshape(array.shape))


IMAGES = ImagePlace()
