"""The registry: lazy imports, broken plugins, conflicting names, unknown names."""

from __future__ import annotations

import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError, Layer, Registry, UnknownNameError
from cafx.kernel.registry import PREFER_SETTING


def install(folder: Path, name: str, module: str, entry: str, requires: str = "cafx-kernel>=0.1,<0.2") -> None:
    """Write a distribution with one module and one entry point to ``folder``."""
    package = name.replace("-", "_")
    (folder / f"{package}.py").write_text(textwrap.dedent(module))
    info = folder / f"{package}-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\nRequires-Dist: {requires}\n")
    (info / "entry_points.txt").write_text(f"[cafx.layers]\n{entry} = {package}:{entry}\n")


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.syspath_prepend(str(tmp_path))
    return tmp_path


def plugins(site: Path) -> Registry:
    return Registry([point for found in metadata.distributions(path=[str(site)]) for point in found.entry_points])


GOOD = """
from cafx.kernel import Layer
class Foo(Layer):
    pass
"""


def test_a_plugin_is_imported_when_first_needed(site: Path) -> None:
    install(site, "cafx-layer-lazyfoo", GOOD, "Foo")
    registry = plugins(site)
    assert registry.names("layer") == ["Foo"]
    assert "cafx_layer_lazyfoo" not in sys.modules
    assert issubclass(registry.load("layer", "Foo"), Layer)
    assert "cafx_layer_lazyfoo" in sys.modules


def test_a_broken_plugin_does_not_affect_others(site: Path) -> None:
    install(site, "cafx-layer-fine", GOOD.replace("Foo", "Fine"), "Fine")
    install(site, "cafx-layer-broken", "raise OSError('no such driver')", "Broken")
    registry = plugins(site)
    assert [plugin.name for plugin, _ in registry.usable("layer")] == ["Fine"]
    for _ in range(2):
        with pytest.raises(CafxError, match=r"cafx-layer-broken 1.0 .*OSError: no such driver.*pip uninstall"):
            registry.load("layer", "Broken")


def test_conflicting_plugins_are_both_named_and_resolved_by_a_setting(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("one", "two"):
        install(site, f"cafx-layer-{name}", GOOD, "Foo")
    registry = plugins(site)
    with pytest.raises(CafxError, match=f"cafx-layer-one and cafx-layer-two.*{PREFER_SETTING}"):
        registry.find("layer", "Foo")
    monkeypatch.setenv(PREFER_SETTING, "Foo=cafx-layer-two")
    assert registry.find("layer", "Foo").distribution == "cafx-layer-two"


def test_a_plugin_for_another_api_version_is_not_imported(site: Path) -> None:
    install(site, "cafx-layer-old", "raise AssertionError('imported')", "Old", "cafx-kernel>=7,<8")
    with pytest.raises(CafxError, match=r"another plugin API.*got cafx-kernel 0.1.0.*>=7"):
        plugins(site).load("layer", "Old")


@pytest.mark.parametrize(
    ("kind", "name", "hint"),
    [
        ("layer", "Foo!", "a third party's would be called cafx-layer-foo: check who publishes it"),
        ("layer", "FocalLoss", "cafx-loss-focalloss"),
        ("solver", "Lion", "cafx-solver-lion"),
        ("layer", "relu", "did you mean 'ReLU'?"),
    ],
)
def test_the_error_for_an_unknown_name_suggests_a_package(kind: str, name: str, hint: str) -> None:
    with pytest.raises(UnknownNameError, match=f"unknown {kind} type '{name}'; ") as caught:
        Registry().load(kind, name)
    assert hint in str(caught.value)


def test_classes_can_be_added_and_removed() -> None:
    class Mine(Layer):
        """Mine."""

    registry = Registry()
    registry.add("layer", "Mine", Mine)
    assert registry.load("layer", "Mine") is Mine
    registry.remove("layer", "Mine")
    with pytest.raises(UnknownNameError):
        registry.load("layer", "Mine")


def test_the_error_of_a_broken_plugin_names_only_the_current_place(site: Path) -> None:
    install(site, "cafx-layer-bad", "1 / 0", "Bad")
    registry = plugins(site)
    texts: list[Any] = []
    for where in ("a.prototxt:1", "b.prototxt:2"):
        with pytest.raises(CafxError) as caught:
            registry.load("layer", "Bad")
        texts.append(str(caught.value.at(where)))
    assert "a.prototxt" not in texts[1]
