"""Each bundle installs all that its reference models and real files need."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError, registry, schema

ROOT = Path(__file__).resolve().parents[2]
BUNDLES = sorted(path.name for path in ROOT.glob("contrib/bundles/*") if (path / "pyproject.toml").exists())
MODELS = {
    "faster-rcnn": ["faster_rcnn_vgg16"],
    "mobilenet": ["mobilenet_v1", "mobilenet_v2", "se_resnet50", "shufflenet"],
    "pspnet": ["pspnet50"],
    "segnet": ["segnet", "segnet_basic"],
    "ssd": ["mobilenet_ssd", "vgg_ssd300"],
    "yolo": ["mobilenet_yolov3", "yolov3"],
}
FILES = {
    "faster-rcnn": "rbgirshick/**/*.prototxt",
    "mobilenet": "hujie-frank/**/*.prototxt",
    "pspnet": "hszhao/PSPNet/evaluation/**/*.prototxt",
    "ssd": "chuanqi305/**/*SSD*.prototxt",
}


def installed_with(distribution: str) -> set[str]:
    """The distributions that are installed with one, itself included."""
    found: set[str] = set()
    todo = [distribution]
    while todo:
        name = todo.pop()
        if name in found:
            continue
        found.add(name)
        needed = (each for each in metadata.requires(name) or () if "extra ==" not in each)
        todo += [re.match(r"[\w.-]+", each)[0] for each in needed if each.startswith("cafx")]  # type: ignore[index]
    return found


def messages(proto: Any) -> Iterator[Any]:
    """A protobuf message and the messages in it."""
    yield proto
    for field, value in proto.ListFields():
        if field.message_type:
            for each in value if field.is_repeated else [value]:
                yield from messages(each)


def providers() -> dict[tuple[str, str], set[str]]:
    """For each field that dialects add to a message, the distributions of those dialects."""
    found: dict[tuple[str, str], set[str]] = {}
    for plugin, dialect in registry().usable("dialect"):
        for each in dialect.additions(plugin.name, plugin.distribution):
            found.setdefault((each.target, each.name), set()).add(plugin.distribution)
    return found


def missing(proto: Any, present: set[str]) -> set[str]:
    """What a net needs that none of the distributions present provides."""
    types = {layer.type for layer in proto.layer} - {"Python"}
    needed = {name for name in types if registry().find("layer", name).distribution not in present}
    added = providers()
    for each in messages(proto):
        for field, _ in each.ListFields():
            owners = added.get((each.DESCRIPTOR.name, field.name), present)
            if not owners & present:
                needed.add(f"{each.DESCRIPTOR.name}.{field.name}")
    return needed


def test_every_bundle_is_tested() -> None:
    assert sorted(MODELS) == BUNDLES


@pytest.mark.parametrize("name", BUNDLES)
def test_a_bundle_holds_bounded_dependencies_and_no_code(name: str) -> None:
    folder = ROOT / "contrib/bundles" / name
    project = tomllib.loads((folder / "pyproject.toml").read_text("utf-8"))["project"]
    assert project["name"] == f"cafx-{name}"
    assert all(each.endswith(">=0.1,<0.2") for each in project["dependencies"])
    (module,) = folder.glob("*.py")
    assert module.read_text("utf-8").count('"""') == 2
    assert module.read_text("utf-8").endswith('"""\n')


@pytest.mark.parametrize(("bundle", "model"), [(bundle, model) for bundle in MODELS for model in MODELS[bundle]])
@pytest.mark.parametrize("train", [False, True])
def test_a_bundle_provides_what_its_models_need(bundle: str, model: str, train: bool) -> None:
    proto = registry().load("model", model)(train=train).to_proto()
    assert missing(proto, installed_with(f"cafx-{bundle}")) == set()


@pytest.mark.slow
@pytest.mark.parametrize("bundle", sorted(FILES))
def test_a_bundle_provides_what_real_files_need(bundle: str, shared: Path) -> None:
    paths = sorted((shared / "prototxt").glob(FILES[bundle]))
    if not paths:
        pytest.skip(f"needs {shared / 'prototxt'}")
    present = installed_with(f"cafx-{bundle}")
    nets = 0
    for path in paths:
        try:
            proto = schema().parse_text(path.read_text("utf-8"), "NetParameter")
        except CafxError:
            continue  # a solver, or another project's file
        nets += 1
        assert missing(proto, present) == set(), path
    assert nets > 2


def test_what_is_missing_is_noticed() -> None:
    proto = registry().load("model", "vgg_ssd300")().to_proto()
    assert {"PriorBox", "DetectionOutput"} <= missing(proto, {"cafx-layer-permute"})
