"""DenseImageData: batches of images and images of labels from a list (SegNet)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import TRAIN, Blob, TransformationParameter, above, message, option, within
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.prefetch import Source
from cafx_lib_segmented.source import SegmentedSource
from cafx_lib_segmented.transform import JointTransformer, crop_of, last_step

if TYPE_CHECKING:
    from cafx.conformance import Case

__version__ = "0.1.0"
MAX_SIDE = 2**14


@message("dense_image_data_param")
class DenseImageDataParameter(LegacyTransform):
    """Options of DenseImageData."""

    source: str = option(1, "string", doc="text file with the paths of an image and of its labels per line")
    batch_size: int = option(4, "uint32", 1, doc="images per batch", check=above(0))
    mirror: bool = option(6, "bool", False, doc="flip half of the images and their labels horizontally")
    rand_skip: int = option(7, "uint32", 0, doc="skip a random number of images below this at the start")
    shuffle: bool = option(8, "bool", False, doc="shuffle every epoch")
    new_height: int = option(9, "uint32", 0, doc="resize to this height; 0 for no resizing", check=within(0, MAX_SIDE))
    new_width: int = option(10, "uint32", 0, doc="resize to this width; 0 for no resizing", check=within(0, MAX_SIDE))
    is_color: bool = option(11, "bool", True, doc="decode to three channels, else one")
    root_folder: str = option(12, "string", "", doc="prefix of every path")
    crop_height: int = option(None, "uint32", 0, doc="height of the crop; 0 for none", check=within(0, MAX_SIDE))
    crop_width: int = option(None, "uint32", 0, doc="width of the crop; 0 for none", check=within(0, MAX_SIDE))


class DenseImageData(BatchLayer):
    """Images from files and a label for each of their pixels, from image files of one channel.

    Bottoms: none. Tops: data N×C×H×W, where C is 3, or 1 without is_color, and labels N×1×H×W. Image and labels
    are resized (labels by taking the nearest), cropped and mirrored alike; transform_param's mean_value and scale
    concern the image alone. Crops are random in TRAIN phase, central in TEST phase (in the fork, random in both;
    crop_size and mirror of transform_param, which it refuses, work as well). With batch_size 1, images may differ
    in size. No gradient.

    Raises:
        CafxError: a list that is missing, empty or has a line that is not two paths; a file that is missing or
            cannot be decoded; an image and labels of different sizes; a mean or crop that does not match.

    Source: alexgkendall/caffe-segnet; Badrinarayanan et al., "SegNet", 2015.
    """

    Parameter = DenseImageDataParameter
    declares = (TransformationParameter,)
    options: DenseImageDataParameter
    tops = 2

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list and infer the shapes from the first image."""
        options, transform = self.options, self.read(TransformationParameter)
        if not options.source:
            raise self.error("source must be set", expected="dense_image_data_param { source: … }")
        if bool(options.new_height) != bool(options.new_width):
            found = f"new_height {options.new_height}, new_width {options.new_width}"
            raise self.error("resizes one side only", found=found, expected="both positive, or neither")
        failure = self.failure()
        steps = JointTransformer(
            last_step(transform, failure, self.context.dtype),
            crop_of(failure, transform.crop_size, options.crop_height, options.crop_width),
            self.phase is TRAIN,
            options.mirror or transform.mirror,
        )
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # depends on the instance
        source = SegmentedSource(options, self.context.streams, self.name, steps, len(top))
        return source, source.shapes[: len(top)]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Cropped, mirrored and shuffled; colour and greyscale; resized; with options that are ignored."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_segmented import samples

        images = {"source": samples.pair_list(), "root_folder": f"{samples.folder()}/"}
        mean = {"transform_param": {"mean_value": [104.0, 117.0, 123.0], "scale": 0.5}}
        crop = {"crop_height": 4, "crop_width": 5, "mirror": True}
        yield Case("training", tops=2, options={**images, "batch_size": 4, "shuffle": True, **crop}, layer=mean)
        ignored = {"scale": 2.0, "mean_file": "none", "crop_size": 2}
        yield DataCase(
            "plain",
            tops=2,
            options={**images, "batch_size": 3, **ignored},
            layer=mean,
            records=5,
            shuffle={"shuffle": True},
        )
        sides = {**crop, "new_height": 9, "new_width": 7}
        yield Case("resized", tops=2, options={**images, "batch_size": 4, "is_color": False, **sides})
        square = {"crop_size": 5, "mirror": True}
        yield Case(
            "shuffled", tops=2, options={**images, "shuffle": True, "rand_skip": 3}, layer={"transform_param": square}
        )
