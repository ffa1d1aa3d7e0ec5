"""WindowData: batches of windows cropped from images and warped, for training R-CNN."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, TransformationParameter, above, message, one_of, option, within
from cafx_data_windowdata.source import Windows
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.transform import Transformer

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("window_data_param", 129)
class WindowDataParameter(LegacyTransform):
    """Options of WindowData."""

    source: str = option(1, "string", doc="file that lists images and their windows")
    scale: float = option(2, "float", 1.0, doc="factor applied after mean subtraction")
    batch_size: int = option(4, "uint32", doc="windows per batch", check=above(0))
    fg_threshold: float = option(7, "float", 0.5, doc="minimum overlap of foreground windows")
    bg_threshold: float = option(8, "float", 0.5, doc="background windows have less overlap than this")
    fg_fraction: float = option(9, "float", 0.25, doc="fraction of foreground windows per batch", check=within(0, 1))
    context_pad: int = option(10, "uint32", 0, doc="pixels of context on each side of a warped window")
    crop_mode: str = option(
        11, "string", "warp", doc="warp the window, or the square around it", check=one_of("warp", "square")
    )
    cache_images: bool = option(12, "bool", False, doc="keep all image files in memory")
    root_folder: str = option(13, "string", "", doc="prefix of every path")


class WindowData(BatchLayer):
    """Windows of images, warped to crop_size × crop_size, with their class (0 for background).

    Bottoms: none. Tops: data N×3×crop_size×crop_size, and labels N. The first windows of a batch are random
    background windows (overlap below bg_threshold), the last fg_fraction of it random foreground windows
    (overlap of at least fg_threshold). With context_pad, a window is enlarged to include this many pixels of
    context on each side after warping; pixels outside the image are 0. The mean is cropped from the centre of
    the mean image. No gradient.

    Raises:
        CafxError: no crop_size; a list that cannot be read or lacks a kind of window; an image that is
            missing or cannot be decoded; a window outside its image; a foreground label below 1.

    Source: Girshick et al., "Rich feature hierarchies for accurate object detection", 2014.
    """

    Parameter = WindowDataParameter
    declares = (TransformationParameter,)
    options: WindowDataParameter
    tops = 2

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list."""
        options = self.options
        if not options.source or not options.batch_size:
            raise self.error("source and batch_size must be set", expected="both in window_data_param")
        transform = self.read(TransformationParameter)
        if not transform.crop_size or options.context_pad * 2 >= transform.crop_size:
            raise self.error(
                "crop_size is missing or too small",
                found=f"crop_size {transform.crop_size}",
                expected=f"more than twice context_pad ({options.context_pad})",
            )
        transformer = Transformer(transform, self.phase, self.failure(), self.context.dtype)
        rng = functools.partial(self.context.streams.fresh, self.name)
        source = Windows(options, transformer, rng, options.scale)
        mean = transformer.mean
        if mean is not None:
            offset = (mean.shape[2] - source.shape[3]) // 2
            if offset < 0 or offset + source.shape[3] > mean.shape[1] or mean.shape[0] != source.shape[1]:
                raise self.error("mean_file does not cover a window", found=mean.shape, expected=source.shape[1:])
        elif transformer.mean_values.size not in (0, 1, source.shape[1]):
            raise self.error("wrong number of 'mean_value'", found=transformer.mean_values.size, expected="1 or 3")
        return source, [source.shape, source.shape[:1]]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Both crop modes, with and without context, mirrored, from memory and from files."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_feed import samples

        windows = {"source": samples.window_list(), "root_folder": f"{samples.folder()}/"}
        crop = {"crop_size": 6, "mirror": True, "mean_value": [100.0]}
        ignored = {"mean_file": "none", "crop_size": 2, "mirror": True}
        yield DataCase(
            "warped",
            unordered="windows are drawn at random",
            tops=2,
            layer={"transform_param": crop},
            options={**windows, "batch_size": 4, "fg_fraction": 0.5, "context_pad": 1, **ignored},
        )
        yield Case(
            "square",
            tops=2,
            layer={"transform_param": {"crop_size": 5}},
            options={
                **windows,
                "batch_size": 3,
                "crop_mode": "square",
                "cache_images": True,
                "scale": 0.5,
                "fg_threshold": 0.8,
                "bg_threshold": 0.3,
            },
        )
