"""Reading a record of preprocessing: from JSON, from a net's data layer, from a model's folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from cafx.kernel import CafxError, Phase, registry
from cafx.kernel.files import shown
from cafx.kernel.net import LayerDefinition, NetState, filter_layers, read_net
from cafx_lib_preprocessing.checks import BILINEAR
from cafx_lib_preprocessing.files import read_text
from cafx_lib_preprocessing.record import Preprocessing

RECORD = "preprocessing.json"
CARD = "readme.md"
FRONT_MATTER = "preprocessing"
MEANS = ("mean.binaryproto", "mean.npy")
LABELS = ("labels.txt", "synset_words.txt")
NO_LAYER = "has no layer that reads images, and no input"
IMAGE_AXES = 4


def read_preprocessing(path: str | Path) -> Preprocessing:
    """The record that a file or folder says.

    Args:
        path: a ``.json`` file, see `Preprocessing.from_json`; a prototxt, see `from_net`; a ``readme.md`` with
            front matter that has ``preprocessing``; or a folder with one of ``preprocessing.json`` and ``readme.md``,
            or else with a mean and labels by the names that Caffe's users and DIGITS give them.

    Raises:
        CafxError: the file cannot be read, or says something that is not valid.
    """
    place = Path(path)
    if place.is_dir():
        return from_folder(place)
    if place.suffix == ".json":
        return Preprocessing.from_json(read_text(place), place.parent, shown(place))
    if place.suffix.lower() == ".md":
        return from_card(place)
    return from_net(place)


def from_folder(folder: Path) -> Preprocessing:
    """The record of a model's folder, see `read_preprocessing`.

    Raises:
        CafxError: the folder has nothing that says it.
    """
    if (folder / RECORD).is_file():
        return read_preprocessing(folder / RECORD)
    for card in (folder / CARD, folder / "README.md"):
        if card.is_file() and has_record(card):
            return from_card(card)
    mean, labels = _first(folder, MEANS), _first(folder, LABELS)
    if mean is None and labels is None:
        expected = f"{RECORD}, {CARD} with '{FRONT_MATTER}', or {MEANS[0]} and {LABELS[0]}"
        raise CafxError("says nothing about preprocessing", where=shown(folder), expected=expected)
    return Preprocessing(mean=mean, labels=labels)


def _first(folder: Path, names: tuple[str, ...]) -> str | None:
    return next((str(folder / name) for name in names if (folder / name).is_file()), None)


def has_record(card: Path) -> bool:
    """Whether a card's front matter has a record."""
    return FRONT_MATTER in (front_matter(read_text(card), shown(card)) or {})


def from_card(card: Path) -> Preprocessing:
    """The record in the front matter of a model's readme.md, under ``preprocessing``.

    Raises:
        CafxError: there is none, or it is not valid.
    """
    values = front_matter(read_text(card), shown(card)) or {}
    if FRONT_MATTER not in values:
        raise CafxError(f"has no '{FRONT_MATTER}' in its front matter", where=shown(card))
    return Preprocessing.from_values(values[FRONT_MATTER], card.parent, shown(card))


def front_matter(text: str, where: str) -> dict[str, Any] | None:
    """The YAML between the lines ``---`` at the beginning of a text; None if there is none.

    Args:
        text: the text.
        where: what errors name.

    Raises:
        CafxError: it is not YAML, repeats parts by reference (which can be made to grow without bound), or is no
            object.
    """
    import yaml

    first, _, rest = text.removeprefix("\ufeff").partition("\n")
    block, end, _ = rest.partition("\n---")
    if first.strip() != "---" or not end:
        return None
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(block, yaml.SafeLoader)):
            raise CafxError("front matter refers to parts of itself", where=where, remedy="write them out")
        values = yaml.safe_load(block)
    except (yaml.YAMLError, ValueError, RecursionError) as error:
        reason = " ".join(str(error).split())[:200]
        raise CafxError(f"front matter is not YAML: {shown(reason)}", where=where) from None
    if not isinstance(values, dict):
        raise CafxError("front matter is no object", where=where, found=type(values).__name__, expected="name: value")
    return values


def from_net(source: str | Path | Any, phase: Phase = Phase.TEST) -> Preprocessing:
    """The record of a net's data layer, else of a deploy net's input.

    A data layer's images were resized, if at all, by OpenCV: by ImageData itself, or by convert_imageset before they
    came to the database; to which size, a database does not say.

    Args:
        source: path of a prototxt, or a NetParameter.
        phase: the phase whose data layer is read.

    Raises:
        CafxError: the net is not valid, or has no layer that reads images and no input.

    Example:
        >>> from cafx.kernel import schema
        >>> text = 'layer { name: "d" type: "ImageData" top: "d" image_data_param { new_height: 9 new_width: 8 } }'
        >>> from_net(schema().parse_text(text, "NetParameter")).size
        (9, 8)
    """
    definition = read_net(source, registry())
    of_phase = filter_layers(definition, NetState(phase)).layers
    for layer in (*of_phase, *definition.layers):  # nets of DIGITS have stages instead of phases
        if not layer.proto.bottom and layer.proto.top:
            record = _of_input(layer) or _of_data(layer)
            if record:
                return record
    raise CafxError(NO_LAYER, where=shown(definition.source), expected="a train_val or deploy prototxt of images")


def _of_input(layer: LayerDefinition) -> Preprocessing | None:
    """By the conventions of deploy nets: BGR from 0 to 255, or gray, of the input's size."""
    options = layer.proto
    shapes = [list(shape.dim) for shape in options.input_param.shape] if options.HasField("input_param") else []
    if not shapes or len(shapes[0]) != IMAGE_AXES:
        return None
    depth, height, width = shapes[0][1:]
    return Preprocessing(crop=(height, width), channels="gray" if depth == 1 else "BGR")


def _of_data(layer: LayerDefinition) -> Preprocessing | None:
    names = ("image_data_param", "data_param", "window_data_param", "transform_param")
    found = {name: getattr(layer.proto, name) for name in names if _has(layer.proto, name)}
    if not found:
        return None
    transform, images = found.get("transform_param"), found.get("image_data_param")
    size = (images.new_height, images.new_width) if images and images.new_height and images.new_width else None
    crop = (transform.crop_size,) * 2 if transform and transform.crop_size else None
    gray = bool(images and not images.is_color) or bool(transform and transform.force_gray)
    mean: Any = tuple(transform.mean_value) or transform.mean_file or None if transform else None
    try:
        return Preprocessing(
            size, crop, BILINEAR, "gray" if gray else "BGR", mean, float(transform.scale) if transform else 1.0
        )
    except CafxError as error:
        raise error.at(layer.where) from None


def _has(proto: Any, name: str) -> bool:
    return name in proto.DESCRIPTOR.fields_by_name and proto.HasField(name)
