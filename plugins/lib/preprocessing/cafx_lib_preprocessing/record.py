"""`Preprocessing`: how an image becomes the input of a net."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_preprocessing.checks import (
    ANTIALIAS,
    CHANNELS,
    LAYOUTS,
    MOST_CHANNELS,
    RESIZES,
    TEN,
    is_flag,
    is_labels,
    is_mean,
    is_one_of,
    is_scale,
    is_size,
    same,
)
from cafx_lib_preprocessing.convert import Converter
from cafx_lib_preprocessing.files import mean_values, read_labels
from cafx_lib_preprocessing.written import checked, parsed, written

Size = tuple[int, int]
"""Height and width."""
Mean = tuple[float, ...] | str | npt.NDArray[np.float32] | None


@attrs.frozen
class Preprocessing:
    """How an image becomes the input of a net: resized, cropped, minus a mean, times a scale.

    Pixels are from 0 to 255 before the mean is subtracted. Whatever is None is taken from the net's input, see
    `for_input`.

    Args:
        size: height and width to resize to before cropping. None: the crop's; the image's own if it is oversampled.
        crop: height and width of the crop. None: the net's input.
        resize: ``"antialias"`` or ``"bilinear"``, see `RESIZES`; both change the aspect ratio.
        channels: ``"BGR"`` (Caffe's order), ``"RGB"`` or ``"gray"``.
        mean: one value or one per channel, in the order of ``channels``; the name of a ``.binaryproto`` or ``.npy``
            file; or an image C×H×W. Of a larger image, the centre is used.
        scale: factor after the mean is subtracted: one or one per channel.
        layout: ``"CHW"`` (Caffe's) or ``"HWC"``.
        labels: names of the classes, or of a file with one per line.
        oversample: ten crops, whose scores are averaged, instead of the central one.

    Raises:
        CafxError: a value is not valid.

    Example:
        >>> record = Preprocessing(size=(256, 256), crop=(227, 227), mean=(104, 117, 123))
        >>> record.describe()
        'resized to 256×256 (antialias), cropped to the central 227×227, BGR from 0 to 255, minus 104, 117, 123'
        >>> record.apply(np.zeros((300, 400, 3), np.uint8)).shape
        (1, 3, 227, 227)
    """

    size: Size | None = attrs.field(default=None, validator=is_size)
    crop: Size | None = attrs.field(default=None, validator=is_size)
    resize: str = attrs.field(default=ANTIALIAS, validator=is_one_of(list(RESIZES)))
    channels: str = attrs.field(default="BGR", validator=is_one_of(list(CHANNELS)))
    mean: Mean = attrs.field(default=None, validator=is_mean, eq=attrs.cmp_using(eq=same))
    scale: float | tuple[float, ...] = attrs.field(default=1.0, validator=is_scale)
    layout: str = attrs.field(default="CHW", validator=is_one_of(LAYOUTS))
    labels: tuple[str, ...] | str | None = attrs.field(default=None, validator=is_labels)
    oversample: bool = attrs.field(default=False, validator=is_flag)

    @classmethod
    def from_transformer(cls, transformer: Any, name: str, size: Sequence[int] | None = None, **more: Any) -> Any:
        """The record of a pycaffe ``Transformer``, as ``caffe.Classifier`` uses it on images from 0 to 1 in RGB.

        Args:
            transformer: the Transformer.
            name: the net's input.
            size: height and width that images are resized to before cropping; None for those of the input.
            more: further attributes.

        Raises:
            CafxError: its channels are swapped in another way than between RGB and BGR.
        """
        _, depth, *crop = transformer.inputs[name]
        swap = tuple(transformer.channel_swap.get(name, ()))
        orders = {(): "RGB" if depth != 1 else "gray", (2, 1, 0): "BGR", (0, 1, 2): "RGB", (0,): "gray"}
        if swap not in orders or CHANNELS[orders[swap]] != depth:
            raise CafxError("a Transformer's channels have no name", found=swap, expected="RGB, BGR or gray")
        raw = 255 / float(transformer.raw_scale.get(name, 1.0))
        mean = transformer.mean.get(name)
        if mean is not None:
            mean = np.asarray(mean, np.float64) * raw
            mean = tuple(map(float, mean.ravel())) if mean.size == depth else mean.astype(np.float32)
        scale = float(transformer.input_scale.get(name, 1.0)) / raw
        chosen = (int(size[0]), int(size[1])) if size is not None else None
        return cls(chosen, (int(crop[0]), int(crop[1])), channels=orders[swap], mean=mean, scale=scale, **more)

    @property
    def depth(self) -> int:
        """Number of channels."""
        return CHANNELS.get(self.channels, MOST_CHANNELS)

    @property
    def crops(self) -> int:
        """Number of crops of an image."""
        return TEN if self.oversample else 1

    def changed(self, **given: Any) -> Preprocessing:
        """The record with those values that are not None: options of a command line override what was read.

        Args:
            given: attributes; a ``mean`` may be text, as ``104,117,123`` or the name of a file.

        Example:
            >>> Preprocessing(size=(256, 256)).changed(mean="1,2,3", size=None).mean
            (1.0, 2.0, 3.0)
        """
        values = {name: value for name, value in given.items() if value is not None}
        if isinstance(values.get("mean"), str):
            numbers = mean_values(values["mean"])
            values["mean"] = values["mean"] if numbers is None else numbers
        return attrs.evolve(self, **values)

    def for_input(self, shape: Sequence[int], where: str | None = None) -> Preprocessing:
        """The record with what a net's input says about it: its size, and whether it has one channel.

        Args:
            shape: shape of the input, N×C×H×W; N×H×W×C for the layout HWC.
            where: what errors name.

        Raises:
            CafxError: the input has other channels, or another size than the crops.
        """
        depth, height, width = shape[1:] if self.layout == "CHW" else (shape[3], *shape[1:3])
        record = self
        if depth == 1 and self.depth != 1 and not isinstance(self.mean, tuple):
            record = attrs.evolve(self, channels="gray")
        elif depth == 1 and self.depth != 1 and len(set(self.mean)) == 1:  # type: ignore[arg-type]
            record = attrs.evolve(self, channels="gray", mean=self.mean[:1])  # type: ignore[index]
        if record.depth != depth:
            expected = f"{record.depth}, for {record.channels}"
            raise CafxError("the net's input has other channels", where=where, found=depth, expected=expected)
        if self.crop not in (None, (height, width)):
            found, expected = "×".join(map(str, self.crop or ())), f"{height}×{width}"
            raise CafxError("crops are not of the size of the net's input", where=where, found=found, expected=expected)
        return attrs.evolve(record, crop=(height, width))

    def names(self, count: int | None = None) -> list[str] | None:
        """The names of the classes; None if there are none.

        Args:
            count: number of classes, to check.

        Raises:
            CafxError: the file cannot be read, or their number is another.
        """
        if self.labels is None:
            return None
        source = self.labels if isinstance(self.labels, str) else None
        names = read_labels(source) if source else list(self.labels)
        if count is not None and len(names) != count:
            expected = f"{count}, one per class"
            raise CafxError("wrong number of labels", where=source, found=len(names), expected=expected)
        return names

    def apply(self, image: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        """The net's input of one image.

        Args:
            image: uint8 pixels, H×W×C: BGR, or one channel.

        Returns:
            Array of shape N×C×H×W (N×H×W×C for the layout HWC) with N = 1, or 10 if images are oversampled.

        Raises:
            CafxError: the image is smaller than the crops, or the mean cannot be read or does not fit.
        """
        record = self if self.crop else attrs.evolve(self, crop=self.size or image.shape[:2])
        return Converter(record).apply(image)

    def describe(self) -> str:
        """One line for people: what happens to an image, in order."""
        crop = "×".join(map(str, self.crop)) if self.crop else "the net's input"
        size = "×".join(map(str, self.size)) if self.size else crop
        steps = [] if self.oversample and not self.size else [f"resized to {size} ({self.resize})"]
        if self.oversample:
            steps.append(f"ten crops of {crop}" if self.crop else "ten crops")
        elif self.size and self.size != self.crop:
            steps.append(f"cropped to the central {crop}" if self.crop else f"cropped to {crop}")
        steps.append(f"{self.channels} from 0 to 255")
        if isinstance(self.mean, np.ndarray):
            steps.append("minus a mean image")
        elif self.mean is not None:
            steps.append(f"minus {_numbers(self.mean) if isinstance(self.mean, tuple) else shown(self.mean)}")
        else:
            steps.append("no mean")
        if self.scale not in (1.0, (1.0,)):
            steps.append(f"times {_numbers(self.scale if isinstance(self.scale, tuple) else (self.scale,))}")
        return ", ".join(steps + (["HWC"] if self.layout == "HWC" else []))

    def to_json(self, folder: str | Path | None = None) -> str:
        """The record as a JSON object; values that are the default are written, too.

        Args:
            folder: the folder that the JSON will be in: files are named relative to it. None: as they are.

        Raises:
            CafxError: a file is outside of the folder, or the mean is an image in memory.
        """
        return written({field.name: getattr(self, field.name) for field in attrs.fields(type(self))}, folder)

    @classmethod
    def from_json(cls, text: str, folder: str | Path | None = None, where: str | None = None) -> Preprocessing:
        """The record of a JSON object, which is read strictly: it may come from anybody.

        Args:
            text: the JSON; what it leaves out has the default.
            folder: the folder that its files are in; None for the current one.
            where: what errors name.

        Raises:
            CafxError: it is not such an object, is too large, has an unknown name or a value that is not valid, or
                names a file outside of the folder.

        Example:
            >>> Preprocessing.from_json('{"size": [256, 256], "mean": [104, 117, 123]}').size
            (256, 256)
        """
        return cls.from_values(parsed(text, where), folder, where)

    @classmethod
    def from_values(cls, values: Any, folder: str | Path | None = None, where: str | None = None) -> Preprocessing:
        """The record of an object as JSON or YAML holds it, such as the front matter of a model's readme.md.

        Args:
            values: the object.
            folder, where: see `from_json`.

        Raises:
            CafxError: as `from_json`.
        """
        found = checked(values, [field.name for field in attrs.fields(cls)], folder, where)
        try:
            return cls(**found)
        except CafxError as error:
            raise error.at(where) if where else error from None


def _numbers(values: Sequence[float]) -> str:
    return ", ".join(f"{value:g}" for value in values)
