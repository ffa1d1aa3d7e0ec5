"""Definitions from public repositories can be read and built."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError, Net, Phase, registry, schema
from cafx.kernel.net import read_net

DATA_TYPES = {"Data", "ImageData", "WindowData", "HDF5Data", "MemoryData"}
BATCH = 2
IMAGES_BY_SOURCE = {
    "siamese": (2, 28, 28),
    "mnist": (1, 28, 28),
    "lenet": (1, 28, 28),
    "cifar": (3, 32, 32),
    "hdf5": (4,),
}
LARGE_IMAGE = (3, 227, 227)
SCENE = (3, 320, 320)
BOXES = {"AnnotatedData"}
REFUSED = {
    r"labelmap.*": "is not the prototxt of a net: got a label map",
    r".*_template\.prototxt": "cannot be read as prototxt: Couldn't parse integer: cls",
    r"BVLC/caffe@2013-10/src/programs/imagenet\.prototxt": "V0LayerParameter has no field 'subtraction'",
    r".*lenet_stepearly_solver\.prototxt": "SolverParameter has no field 'stepearly'",
}
"""Files that are no nets or solvers of any installed dialect, by the end of their path, and what is said of them."""


def read_index(shared: Path) -> dict[str, str]:
    """The kind of each file according to Caffe's schema: net/V0, net/V1, net/V2, solver or FAIL."""
    with (shared / "prototxt" / "INDEX.tsv").open(newline="") as file:
        return {row["file"]: row["with_bvlc_schema"] for row in csv.DictReader(file, delimiter="\t")}


@pytest.fixture
def kind_of(shared: Path) -> Callable[[Path], str]:
    """A function that returns the kind of a file, or skips the test if Caffe cannot read it."""
    index = read_index(shared)

    def find(file: Path) -> str:
        kind = index.get(str(file.relative_to(shared / "prototxt")), "FAIL")
        if kind == "FAIL":
            pytest.skip("not valid in Caffe's schema")
        return kind

    return find


@pytest.mark.slow
@pytest.mark.shared_files("prototxt/**/*.prototxt")
def test_a_public_definition_is_read(
    shared_file: Path, kind_of: Callable[[Path], str], require_plugins: Callable[[Path], None]
) -> None:
    kind = kind_of(shared_file)
    require_plugins(shared_file)
    if kind == "solver":
        assert schema().read_text(shared_file, "SolverParameter").ListFields()
        return
    definition = read_net(shared_file, registry())
    assert definition.layers
    assert schema().parse_text(schema().to_text(definition.proto), "NetParameter") == definition.proto


@pytest.mark.shared_files("prototxt/**/*.prototxt", slow=r"/(44|56|110)/|Net-1\d\d|ResNeXt-101")
def test_a_public_net_is_built(
    shared_file: Path,
    kind_of: Callable[[Path], str],
    require_plugins: Callable[[Path], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if kind_of(shared_file) == "solver":
        pytest.skip("a solver")
    require_plugins(shared_file)
    monkeypatch.setattr("cafx.kernel.net.layer.fill", lambda *_: None)  # only shapes matter
    definition = read_net(shared_file, registry()).proto
    if any(layer.type == "Python" and layer.bottom for layer in definition.layer):
        pytest.skip("needs a Python module of its repository")
    for layer in definition.layer:
        give_shapes(layer, str(shared_file).lower())
    for phase in (Phase.TRAIN, Phase.TEST):
        net = Net(definition, phase, engine="numpy", stages=one_stage(definition))
        assert net.layers
        assert all(parameter.blob.shape for parameter in net.parameters)


def one_stage(definition: Any) -> list[str]:
    """The first stage named in the net's rules, if any."""
    stages = (stage for layer in definition.layer for rule in layer.include for stage in rule.stage)
    return list(stages)[:1]


def give_shapes(layer: Any, path: str) -> None:
    """Turn a data layer into an Input layer with the same tops and rules."""
    reads = layer.type in DATA_TYPES or (layer.type == "Python" and not layer.bottom)
    if not reads:
        return
    substitute = type(layer)(name=layer.name, type="Input", top=layer.top)
    substitute.include.extend(layer.include)
    substitute.exclude.extend(layer.exclude)
    image = image_shape(layer, path)
    for index, top in enumerate(layer.top):
        label = index > 0 and (top not in ("depth", "hha", "color"))
        planes = (1, *image[1:]) if layer.type == "Python" else ()
        substitute.input_param.shape.add().dim.extend((BATCH, *(planes if label else image)))
    layer.CopyFrom(substitute)


def image_shape(layer: Any, path: str) -> tuple[int, ...]:
    """The shape of one image, from the layer's crop or the name of the dataset."""
    if layer.type == "Python":
        return SCENE
    window = getattr(layer, "window_data_param", None)  # absent without the plugin
    crop = layer.transform_param.crop_size or (window.crop_size if window else 0)
    known = next((shape for word, shape in IMAGES_BY_SOURCE.items() if word in path), LARGE_IMAGE)
    return (known[0], crop, crop) if crop else known


def reason(path: Path) -> str | None:
    """What a file is refused with, None if it is to be read."""
    return next((text for pattern, text in REFUSED.items() if re.search(f"{pattern}$", path.as_posix())), None)


def is_solver(path: Path) -> bool:
    """Whether a file holds a solver."""
    return re.search(r"(?m)^\s*(base_lr|max_iter)\s*:", path.read_text("utf-8", "replace")) is not None


@pytest.fixture
def fork_file(shared_file: Path, shared: Path) -> Path:
    """A file that Caffe itself cannot read."""
    if read_index(shared).get(str(shared_file.relative_to(shared / "prototxt")), "FAIL") != "FAIL":
        pytest.skip("valid in Caffe's schema")
    if not registry().names("dialect"):
        pytest.skip("no dialects installed")
    return shared_file


@pytest.mark.shared_files("prototxt/**/*.prototxt")
def test_a_file_of_a_fork_is_read_or_refused_in_one_line(fork_file: Path) -> None:
    kind = "SolverParameter" if is_solver(fork_file) else "NetParameter"
    expected = reason(fork_file)
    if expected is None:
        assert schema().read_text(fork_file, kind).ListFields()
        return
    with pytest.raises(CafxError) as caught:
        schema().read_text(fork_file, kind)
    assert expected in str(caught.value)


@pytest.mark.slow
@pytest.mark.shared_files("prototxt/**/*.prototxt")
def test_a_net_of_a_fork_is_built(fork_file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if is_solver(fork_file) or reason(fork_file):
        pytest.skip("no net")
    monkeypatch.setattr("cafx.kernel.net.layer.fill", lambda *_: None)  # only shapes matter
    definition = read_net(fork_file, registry()).proto
    for layer in definition.layer:
        give_shapes(layer, str(fork_file).lower())
        give_boxes(layer)
    for phase in phases_of(definition):
        net = Net(definition, phase, engine="numpy", stages=one_stage(definition))
        assert all(parameter.blob.shape for parameter in net.parameters)


def phases_of(definition: Any) -> list[Phase]:
    """The phases for which the net has data, if its data layers are for certain phases only."""
    inputs = [layer for layer in definition.layer if not layer.bottom]
    if any(not layer.include for layer in inputs):
        return list(Phase)
    return sorted({Phase(rule.phase) for layer in inputs for rule in layer.include})


def give_boxes(layer: Any) -> None:
    """Turn a layer that reads annotated images into an Input layer with the same tops and rules."""
    if layer.type not in BOXES:
        return
    resized = layer.transform_param.resize_param
    size = (resized.height or 300, resized.width or 300)
    substitute = type(layer)(name=layer.name, type="Input", top=layer.top)
    substitute.include.extend(layer.include)
    substitute.exclude.extend(layer.exclude)
    substitute.input_param.shape.add().dim.extend((2, 3, *size))
    substitute.input_param.shape.add().dim.extend((1, 1, 4, 8))
    layer.CopyFrom(substitute)
