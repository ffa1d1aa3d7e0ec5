"""Definitions from public repositories can be read and built."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import Net, Phase, registry, schema
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


@pytest.mark.shared_files("prototxt/**/*.prototxt")
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
