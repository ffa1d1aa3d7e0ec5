"""ImageData: batches of images from a list of files."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, CafxError, TransformationParameter, above, message, option, within
from cafx.kernel.net import Streams
from cafx_lib_feed.images import Allocate, decode, read_bytes, resize
from cafx_lib_feed.images_source import ImageSource, Picture
from cafx_lib_feed.layer import BatchLayer, LegacyTransform
from cafx_lib_feed.lists import missing_image, read_list
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.transform import Transformer

if TYPE_CHECKING:
    from cafx.conformance import Case

MAX_SIDE = 2**14


@message("image_data_param", 115)
class ImageDataParameter(LegacyTransform):
    """Options of ImageData."""

    source: str = option(1, "string", doc="text file with a path and a label per line")
    batch_size: int = option(4, "uint32", 1, doc="images per batch", check=above(0))
    rand_skip: int = option(7, "uint32", 0, doc="skip a random number of images below this at the start")
    shuffle: bool = option(8, "bool", False, doc="shuffle every epoch")
    new_height: int = option(9, "uint32", 0, doc="resize to this height; 0 for no resizing", check=within(0, MAX_SIDE))
    new_width: int = option(10, "uint32", 0, doc="resize to this width; 0 for no resizing", check=within(0, MAX_SIDE))
    is_color: bool = option(11, "bool", True, doc="decode to three channels, else one")
    root_folder: str = option(12, "string", "", doc="prefix of every path")
    allow_negative_labels: bool = option(100_001, "bool", True, doc="accepted and ignored: they are always allowed")


class ImageFiles(ImageSource):
    """The images of a list, in its order or shuffled; an item is the number of a line.

    Raises:
        CafxError: the list cannot be read, or is shorter than rand_skip.
    """

    def __init__(
        self, options: ImageDataParameter, streams: Streams, name: str, transformer: Transformer, labelled: bool
    ) -> None:
        super().__init__(options, streams, name, transformer, labelled)
        self.lines = read_list(options.source)
        self.epoch = len(self.lines)
        if options.rand_skip > len(self.lines):
            raise CafxError(
                "rand_skip is larger than the list", found=options.rand_skip, expected=f"at most {len(self.lines)}"
            )

    def seek(self, batch: int) -> None:
        """See `Source`; draws the order here, since resuming restores another seed first."""
        self._order = Order(len(self.lines), self.options.shuffle, self.streams, self.name, self.draw_skip())

    def first(self) -> int:
        """The first item."""
        return int(self._order.numbers(0, 1)[0])

    def items(self, batch: int) -> list[int]:
        """See `ImageSource`."""
        first = self.first_item(batch, self.batch_size)
        return self._order.numbers(first, self.batch_size, self.ranks).tolist()

    def picture(self, item: int, allocate: Allocate | None) -> Picture:
        """See `ImageSource`."""
        options, (name, label) = self.options, self.lines[item]
        path = options.root_folder + name
        image = decode(self._content(name), 3 if options.is_color else 1, f"'{path}'", allocate)
        if options.new_height:
            image = resize(image, options.new_height, options.new_width)
        return Picture(label, image, True)

    def _content(self, name: str) -> bytes:
        """The content of an image file; if it is missing, what is wrong with the line or root_folder."""
        root = self.options.root_folder
        try:
            return read_bytes(root + name)
        except CafxError as error:
            error.remedy = missing_image(root, name) or error.remedy
            raise

    def describe(self, item: int) -> str:
        """See `ImageSource`."""
        return f"image '{self.options.root_folder + self.lines[item][0]}'"


class ImageData(BatchLayer):
    """Images from files and their labels, resized and transformed according to the options.

    Bottoms: none. Tops: data N×C×H×W, where C is 3, or 1 without is_color, and labels N. With
    batch_size 1, images may differ in size. No gradient.

    Raises:
        CafxError: a list that is missing, empty or has a line without a label; an image that is missing,
            cannot be decoded, or has another size; a mean or crop that does not match.

    Source: Caffe's layer catalogue.
    """

    Parameter = ImageDataParameter
    declares = (TransformationParameter,)
    options: ImageDataParameter

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list and infer the shapes from the first image."""
        options = self.options
        if not options.source:
            raise self.error("source must be set", expected="image_data_param { source: … }")
        if bool(options.new_height) != bool(options.new_width):
            found = f"new_height {options.new_height}, new_width {options.new_width}"
            raise self.error("resizes one side only", found=found, expected="both positive, or neither")
        transformer = Transformer(self.read(TransformationParameter), self.phase, self.failure(), self.context.dtype)
        self.dynamic_shape = options.batch_size == 1  # type: ignore[misc]  # depends on the instance
        source = ImageFiles(options, self.context.streams, self.name, transformer, labelled=len(top) > 1)
        source.seek(0)
        return source, source.first_shapes(source.first())

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """In order and shuffled, colour and greyscale, with and without resizing."""
        from cafx.conformance import Case
        from cafx.conformance.kinds.data import DataCase
        from cafx_lib_feed import samples

        images = {"source": samples.image_list(), "root_folder": f"{samples.folder()}/"}
        ignored = {"scale": 2.0, "mean_file": "none", "crop_size": 2, "mirror": True}
        crop = {"crop_size": 5, "mirror": True, "mean_value": [100.0], "scale": 0.5}
        yield DataCase(
            "plain",
            options={**images, "batch_size": 3, **ignored},
            records=samples.COUNT,
            shuffle={"shuffle": True},
            damaged=samples.damaged_image_list,
        )
        yield Case(
            "resized",
            tops=2,
            layer={"transform_param": crop},
            options={**images, "batch_size": 2, "new_height": 9, "new_width": 6, "is_color": False},
        )
        yield Case(
            "shuffled", tops=2, options={**images, "shuffle": True, "rand_skip": 3, "allow_negative_labels": True}
        )
