"""ImageSegData: batches of images and images of labels from a list (DeepLab)."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import TRAIN, Blob, TransformationParameter
from cafx_data_imagedata import ImageDataParameter
from cafx_lib_feed.layer import BatchLayer
from cafx_lib_feed.prefetch import Source
from cafx_lib_segmented.source import SegmentedSource
from cafx_lib_segmented.transform import JointTransformer, crop_of, last_step

if TYPE_CHECKING:
    from cafx.conformance import Case

__version__ = "0.1.0"


class ImageSegData(BatchLayer):
    """Images from files and a label for each of their pixels.

    Bottoms: none. Tops: data N×C×H×W, where C is 3, or 1 without is_color; labels N×1×H×W; sizes N×1×1×2, the
    height and width of each image, at most H and W. A line of the list has the path of an image and, by
    label_type, the path of its image of labels (PIXEL), the label of all its pixels (IMAGE), or nothing (NONE:
    all pixels have ignore_label).

    Image and labels are resized by one of scale_factors (labels by taking the nearest), padded at the lower and
    right edges where they are smaller than the crop (with the mean, and ignore_label), cropped (at random in TRAIN
    phase, else at the centre) and mirrored alike; mean_value and scale concern the image alone. With batch_size 1,
    images may differ in size. No gradient.

    Raises:
        CafxError: a list that is missing, empty or has a line without label; a file that is missing or cannot be
            decoded; an image and labels of different sizes; a mean_file; a crop that does not match.

    Source: Chen et al., "Semantic Image Segmentation with Deep Convolutional Nets and Fully Connected CRFs", 2015;
    hszhao/PSPNet.
    """

    declares = (ImageDataParameter, TransformationParameter)
    tops = (1, 3)

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list and infer the shapes from the first image."""
        options: Any = self.read(ImageDataParameter)
        transform: Any = self.read(TransformationParameter)
        if not options.source:
            raise self.error("source must be set", expected="image_data_param { source: … }")
        if bool(options.new_height) != bool(options.new_width):
            found = f"new_height {options.new_height}, new_width {options.new_width}"
            raise self.error("resizes one side only", found=found, expected="both positive, or neither")
        failure = self.failure()
        steps = JointTransformer(
            last_step(transform, failure, self.context.dtype),
            crop_of(failure, transform.crop_size, transform.crop_height, transform.crop_width),
            self.phase is TRAIN,
            transform.mirror,
            transform.scale_factors,
            options.ignore_label,
        )
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # depends on the instance
        source = SegmentedSource(options, self.context.streams, self.name, steps, len(top), options.label_type.name)
        return source, source.shapes[: len(top)]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Each kind of label; resized, padded, cropped and mirrored; one to three tops."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_segmented import samples

        def images(kind: str, **options: Any) -> dict[str, Any]:
            return {"source": samples.pair_list(kind), "root_folder": f"{samples.folder()}/", **options}

        mean = {"mean_value": [100.0, 110.0, 120.0], "scale": 0.5, "mirror": True}
        joint = {**mean, "scale_factors": [0.5, 1.0, 1.5], "crop_height": 9, "crop_width": 6}
        pixels = images("PIXEL", batch_size=3, label_type="PIXEL", ignore_label=250)
        yield Case("joint", tops=3, layer={"image_data_param": pixels, "transform_param": joint})
        whole = images("IMAGE", batch_size=2, label_type="IMAGE", is_color=False, new_height=9, new_width=6)
        yield Case("image", tops=2, layer={"image_data_param": whole, "transform_param": {"crop_size": 4}})
        none = images("NONE", label_type="NONE", shuffle=True, rand_skip=2)
        scaled = {"image_data_param": none, "transform_param": {"scale_factors": [0.5, 2.0]}}
        yield Case("none", tops=1, layer=scaled, skip={"damaged-source": "any text is a list of names"})
        plain = {"image_data_param": images("IMAGE", batch_size=3, label_type="IMAGE")}
        shuffle = {"image_data_param": {"shuffle": True}}
        yield DataCase("plain", tops=2, options={}, layer=plain, records=len(samples.pictures()), shuffle=shuffle)
