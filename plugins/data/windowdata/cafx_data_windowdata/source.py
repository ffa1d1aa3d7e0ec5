"""Source of the WindowData layer: random background and foreground windows."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx_data_windowdata.windows import CHANNELS, Window, WindowList, read_windows
from cafx_lib_feed.images import decode, read_bytes
from cafx_lib_feed.prefetch import Batch, Source
from cafx_lib_feed.transform import Transformer
from cafx_lib_feed.windows import warp


class Windows(Source):
    """Batches of random windows, background before foreground.

    Args:
        options: the layer's options.
        transformer: provides mean, crop size and mirroring.
        rng: returns the random generator of a batch, by its number.
        scale: factor applied after mean subtraction.

    Attributes:
        shape: shape of a batch of images.

    Raises:
        CafxError: the list cannot be read or lacks a kind of window.
    """

    def __init__(
        self, options: Any, transformer: Transformer, rng: Callable[[int], np.random.Generator], scale: float
    ) -> None:
        self.options, self.transformer, self.rng = options, transformer, rng
        self.scale = np.float32(scale)
        self.windows: WindowList = read_windows(
            options.source, options.root_folder, options.fg_threshold, options.bg_threshold
        )
        foreground = int(np.float32(options.batch_size) * np.float32(options.fg_fraction))
        self.mix = (
            ("background", self.windows.background, options.batch_size - foreground),
            ("foreground", self.windows.foreground, foreground),
        )
        for kind, windows, count in self.mix:
            if count and not windows:
                raise CafxError(
                    f"no {kind} windows",
                    where=options.source,
                    expected=f"{count} per batch",
                    remedy="adjust fg_threshold, bg_threshold or fg_fraction",
                )
        files = [read_bytes(path) for path in self.windows.images] if options.cache_images else []
        self.cache = dict(enumerate(files))
        side = transformer.crop
        self.shape = (options.batch_size, CHANNELS, side, side)

    def fetch(self, batch: int) -> list[tuple[Window, bool]]:
        """See `Source`; draws the windows, and whether to flip each."""
        rng = self.rng(batch)
        chosen: list[Window] = []
        for _, windows, count in self.mix:
            chosen += [windows[int(number)] for number in rng.integers(max(1, len(windows)), size=count)]
        mirror = self.transformer.options.mirror
        flips = rng.integers(0, 2, len(chosen)) if mirror else np.zeros(len(chosen), int)
        return list(zip(chosen, flips.astype(bool).tolist(), strict=True))

    def fill(self, fetched: list[tuple[Window, bool]], number: int, batch: Batch) -> None:
        """See `Source`."""
        data, labels = batch.shape(self.shape, self.shape[:1])
        data[...] = 0
        for index, (window, flip) in enumerate(fetched):
            path = self.windows.images[window.image]
            cached = self.cache.get(window.image)
            image = decode(read_bytes(path) if cached is None else cached, 3, f"'{path}'", self.transformer.decoded)
            square = self.options.crop_mode == "square"
            try:
                piece, top, left = warp(image, window.corners, self.shape[2:], self.options.context_pad, square, flip)
            except CafxError as error:
                raise error.at(f"{self.options.source}: '{path}'") from None
            if piece is not None:
                self._place(piece.transpose(2, 0, 1), data[index], top, left)
            labels[index] = window.label

    def _place(self, piece: Any, out: Any, top: int, left: int) -> None:
        """Write a warped window to ``out``, minus the mean and scaled; pixels around it stay zero."""
        height, width = piece.shape[1:]
        target = out[:, top : top + height, left : left + width]
        np.copyto(target, piece)
        mean, values = self.transformer.mean, self.transformer.mean_values
        if mean is not None:
            offset = (mean.shape[2] - self.shape[3]) // 2
            target -= mean[:, offset + top : offset + top + height, offset + left : offset + left + width]
        elif values.size:
            target -= values.reshape(-1, 1, 1)
        if self.scale != 1:
            target *= self.scale
