"""ImageData: batches of images from a list of files."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob, CafxError, TransformationParameter, above, message, option, within
from cafx.kernel.net import Streams
from cafx_lib_feed.images import decode, read_bytes, resize
from cafx_lib_feed.images_source import ImageSource, Memory, Picture
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.lists import read_list
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.transform import Transformer

if TYPE_CHECKING:
    from cafx.conformance import Case

LONGEST_SIDE = 2**14


@message("image_data_param", 115)
class ImageDataParameter(LegacyTransform):
    """Options of ImageData."""

    source: str = option(1, "string", doc="a text file with a path and a label a line")
    batch_size: int = option(4, "uint32", 1, doc="images a batch", check=above(0))
    rand_skip: int = option(7, "uint32", 0, doc="skip fewer images than this at the start, by chance")
    shuffle: bool = option(8, "bool", False, doc="another order each epoch, from the net's seed")
    new_height: int = option(9, "uint32", 0, doc="resize to this height; 0 for as it is", check=within(0, LONGEST_SIDE))
    new_width: int = option(10, "uint32", 0, doc="resize to this width; 0 for as it is", check=within(0, LONGEST_SIDE))
    is_color: bool = option(11, "bool", True, doc="three channels, else one")
    root_folder: str = option(12, "string", "", doc="what every path begins with")
    allow_negative_labels: bool = option(
        100_001, "bool", False, doc="take labels below 0, say for a loss's ignore_label"
    )


class ImageFiles(ImageSource):
    """The images of a list, in its order or shuffled."""

    def __init__(self, options: ImageDataParameter, streams: Streams, name: str, *rest: Any) -> None:
        super().__init__(*rest)
        self.options, self.streams, self.name = options, streams, name
        self.lines = read_list(options.source)
        if options.rand_skip > len(self.lines):
            raise CafxError(
                "rand_skip is larger than the list", found=options.rand_skip,
                expected=f"at most {len(self.lines)}",
            )  # fmt: skip

    def seek(self, batch: int) -> None:
        """See `Source`; draws are made here, as a resume brings another seed."""
        drawn = self.streams.fresh(f"{self.name}/skip")
        skip = int(drawn.integers(self.options.rand_skip)) if self.options.rand_skip else 0
        self._order = Order(len(self.lines), self.options.shuffle, self.streams, self.name, skip)

    def first(self) -> int:
        """The number of the image that comes first."""
        return int(self._order.numbers(0, 1)[0])

    def items(self, batch: int) -> list[int]:
        """See `ImageSource`: numbers in the list."""
        return self._order.numbers(batch * self.batch_size, self.batch_size).tolist()

    def picture(self, item: int, memory: Memory | None) -> Picture:
        """See `ImageSource`."""
        options, (name, label) = self.options, self.lines[item]
        path = options.root_folder + name
        image = decode(read_bytes(path), 3 if options.is_color else 1, f"'{path}'", memory)
        if options.new_height:
            image = resize(image, options.new_height, options.new_width)
        return Picture(label, image, True)

    def what(self, item: int) -> str:
        """See `ImageSource`."""
        return f"image '{self.options.root_folder + self.lines[item][0]}'"


class ImageData(BatchLayer):
    """Images from files and their labels, resized and transformed as stated.

    Bottoms: none. Tops: data N×C×H×W (C is 3, or 1 where is_color is off), and labels N. With
    batch_size 1 images may be of any size. No gradient.

    Raises:
        CafxError: a list that is missing, empty or has a line without label; an image that is
            missing, cannot be decoded, or has another size; a mean or crop that does not fit.

    Source: Caffe's layer catalogue.
    """

    Parameter = ImageDataParameter
    declares = (TransformationParameter,)
    options: ImageDataParameter

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list and look at the first image."""
        options, streams = self.options, self.context.streams
        if not options.source:
            raise self.error("source must be stated", expected="image_data_param { source: … }")
        if bool(options.new_height) != bool(options.new_width):
            found = f"new_height {options.new_height}, new_width {options.new_width}"
            raise self.error("resizes one side only", found=found, expected="both positive, or neither")
        transformer = Transformer(self.read(TransformationParameter), self.phase, self.failure(), self.context.dtype)
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # a fact of this one
        rng: Callable[[int], np.random.Generator] = functools.partial(streams.fresh, self.name)
        source = ImageFiles(
            options, streams, self.name,
            transformer, options.batch_size, rng, len(top) > 1, options.allow_negative_labels,
        )  # fmt: skip
        source.seek(0)
        return source, source.first_shapes(source.first())

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """In order and shuffled, in colour and in grey, as they are and resized."""
        from cafx.conformance import Case
        from cafx_lib_feed import samples

        listed = {"source": samples.image_list(), "root_folder": f"{samples.folder()}/"}
        ignored = {"scale": 2.0, "mean_file": "none", "crop_size": 2, "mirror": True}
        cut = {"crop_size": 5, "mirror": True, "mean_value": [100.0], "scale": 0.5}
        yield Case("plain", options={**listed, "batch_size": 3, **ignored})
        yield Case(
            "resized", tops=2, layer={"transform_param": cut},
            options={**listed, "batch_size": 2, "new_height": 9, "new_width": 6, "is_color": False},
        )  # fmt: skip
        yield Case(
            "shuffled", tops=2,
            options={**listed, "shuffle": True, "rand_skip": 3, "allow_negative_labels": True},
        )  # fmt: skip
