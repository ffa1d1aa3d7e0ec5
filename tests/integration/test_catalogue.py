"""Every layer's page has formula, shapes, options with defaults, and examples that build."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from cafx.cli.examples import example_case
from cafx.cli.inventory import find
from cafx.cli.pages import page, write_catalogue
from cafx.dsl import NetSpec
from cafx.dsl import layers as dsl
from cafx.kernel import Net, Phase, registry, schema

TYPES = registry().names("layer")
NEEDS_FILES = {
    "AnnotatedData",
    "Data",
    "DenseImageData",
    "HDF5Data",
    "ImageData",
    "ImageSegData",
    "RoIData",
    "WindowData",
}


@pytest.mark.parametrize("type_name", TYPES)
def test_a_page_contains_documentation_options_and_source(type_name: str) -> None:
    described = find(type_name)
    text = page(described)
    assert f"# {type_name}" in text
    assert re.search(r"[Bb]ottom", described["doc"])
    assert re.search(r"[Tt]op", described["doc"])
    for message in described["messages"]:
        for option in message["options"]:
            assert f"| `{option['name']}` |" in text
            assert option["doc"].replace("|", "\\|") in text
    assert described["dsl"] in text
    assert described["prototxt"] in text
    assert "Source: " in described["doc"], "name the paper or page that the layer implements"
    assert f"class {type_name}(" in described["source"]
    assert described["source"].rstrip() in text


def samples(type_name: str, folder: Path) -> None:
    """Write the files that a layer's example names into ``folder``: those of its cases."""
    import h5py

    from cafx_lib_feed import samples as feed

    list(registry().load("layer", type_name).cases())
    for path in feed.folder().iterdir():
        (folder / path.name).symlink_to(path)
    (folder / "files.txt").unlink(missing_ok=True)
    (folder / "files.txt").write_text("rows.hdf5")
    with h5py.File(folder / "rows.hdf5", "w") as file:
        file["data"], file["label"] = [[1.0, 2.0]] * 4, [0.0] * 4


def inputs_for(layer: Any, case: Any) -> Any:
    """A net of inputs with the shapes of a case and the names of the layer's bottoms."""
    net = schema()["NetParameter"]()
    for name, bottom in zip(layer.bottom, case.bottoms, strict=True):
        added = net.layer.add(name=name, type="Input", top=[name])
        added.input_param.shape.add().dim.extend(bottom.shape)
    return net


@pytest.mark.parametrize("type_name", TYPES)
def test_the_prototxt_example_builds(type_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if type_name in NEEDS_FILES:
        samples(type_name, tmp_path)
    monkeypatch.chdir(tmp_path)
    text = find(type_name)["prototxt"]
    layer = schema().parse_text(text, "NetParameter").layer[0]
    case = example_case(registry().load("layer", type_name))
    net = inputs_for(layer, case)
    net.layer.add().CopyFrom(layer)
    with Net(net, Phase.TRAIN, engine="numpy", trust=True) as built:
        assert built.layers[-1].type == type_name


@pytest.mark.parametrize("type_name", TYPES)
def test_the_dsl_example_emits_the_prototxt_example(type_name: str) -> None:
    described = find(type_name)
    expected = schema().parse_text(described["prototxt"], "NetParameter").layer[0]
    net = NetSpec()
    for name in expected.bottom:
        net[name] = dsl.Input(shape=[{"dim": [1]}])
    exec(described["dsl"], {"n": net, "L": dsl})
    emitted = net.to_proto().layer[-1]
    emitted.name = expected.name
    assert emitted == expected


@pytest.mark.slow
def test_the_catalogue_links_one_page_per_layer_by_kind(tmp_path: Path) -> None:
    pages = [path for path in write_catalogue(str(tmp_path)) if path.name != "index.md"]
    titles = [path.read_text("utf-8").partition("\n")[0] for path in pages]
    assert sorted(titles) == sorted(f"# {name}" for name in TYPES)
    assert len(set(pages)) == len(pages)
    index = (tmp_path / "index.md").read_text("utf-8")
    assert re.findall(r"^## (\w+)$", index, re.MULTILINE) == ["Data", "Layers", "Losses"]
    assert set(re.findall(r"\]\((\w+/[\w-]+\.md)\)", index)) == {
        path.relative_to(tmp_path).as_posix() for path in pages
    }
