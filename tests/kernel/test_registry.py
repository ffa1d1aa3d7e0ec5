"""The registry: lazy imports, broken plugins, conflicting names, unknown names."""

from __future__ import annotations

import sys
import textwrap
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest

from cafx.kernel import CafxError, Layer, Registry, UnknownNameError, schema
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


@pytest.mark.parametrize("requires", ["cafx-kernel", "numpy>=1"])
def test_a_plugin_without_a_bound_is_not_imported(site: Path, requires: str) -> None:
    install(site, "cafx-layer-free", "raise AssertionError('imported')", "Free", requires)
    with pytest.raises(CafxError, match=r"'Free' of cafx-layer-free 1.0 does not state .*cafx-kernel>=0.1"):
        plugins(site).load("layer", "Free")


def test_the_kernel_s_name_may_be_written_in_any_way(site: Path) -> None:
    install(site, "cafx-layer-good", GOOD, "Foo", "Cafx_Kernel>=0.1,<0.2")
    assert plugins(site).load("layer", "Foo").__name__ == "Foo"
    install(site, "cafx-layer-aged", GOOD.replace("Foo", "Aged"), "Aged", "cafx.kernel>=7,<8")
    with pytest.raises(CafxError, match="another plugin API"):
        plugins(site).load("layer", "Aged")


@pytest.mark.parametrize(
    "end", ["import sys; sys.exit(3)", "raise BaseException('away')", "class Away(SystemExit): pass\nraise Away"]
)
def test_a_plugin_that_ends_the_process_at_import_is_only_unusable(site: Path, end: str) -> None:
    install(site, "cafx-layer-exit", end, "Exit")
    install(site, "cafx-layer-good", GOOD, "Foo")
    registry = plugins(site)
    assert [plugin.name for plugin, _ in registry.usable("layer")] == ["Foo"]
    with pytest.raises(CafxError, match=r"'Exit' of cafx-layer-exit 1\.0 cannot be imported"):
        registry.load("layer", "Exit")


def test_what_a_plugin_prints_at_import_does_not_get_among_results(
    site: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    install(site, "cafx-layer-loud", "print('hello')\n" + GOOD, "Foo")
    plugins(site).load("layer", "Foo")
    assert capsys.readouterr() == ("", "hello\n")


def test_a_declaration_that_cannot_be_composed_breaks_only_its_plugin(site: Path) -> None:
    wrong = """
    from cafx.kernel import Layer, Message, message, option
    @message("odd_param")
    class OddParameter(Message):
        'Wrong.'
        same = option(1, "int32", doc="one")
        other = option(1, "int32", doc="the same number")
    class Odd(Layer):
        'Odd.'
        Parameter = OddParameter
    """
    install(site, "cafx-layer-odd", wrong, "Odd")
    install(site, "cafx-layer-good", GOOD, "Foo")
    registry = plugins(site)
    assert schema(registry).parse_text('layer { type: "Foo" }', "NetParameter").layer[0].type == "Foo"
    with pytest.raises(CafxError, match=r"'Odd' of cafx-layer-odd 1\.0 declares what cannot be composed"):
        registry.load("layer", "Odd")


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
