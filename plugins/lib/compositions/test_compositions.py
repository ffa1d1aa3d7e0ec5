"""What is kept of a schema between runs, and when it is composed again."""

from __future__ import annotations

import os
import subprocess
import sys
import textwrap
from collections.abc import Callable
from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx.kernel.registry import Registry
from cafx.kernel.schema import Schema, compose

KIND = 'layer { name: "t" type: "Tilted" bottom: "x" top: "y" tilted_param { FIELD: 3 } }'
MODULE = """
from cafx.kernel import Layer, Message, message, option

@message("tilted_param")
class TiltedParameter(Message):
    '''Options of Tilted.'''
    FIELD: int = option(1, "int32", 0, doc="degrees")

class Tilted(Layer):
    '''y = x.'''
    Parameter = TiltedParameter
"""
USED = """
import sys
from cafx.kernel import TEST, Net
net = Net(sys.argv[1], TEST, engine="numpy")
kinds = ("cafx_layer_", "cafx_loss_", "cafx_data_", "cafx_filler_", "cafx_dialect_", "cafx_lib_hints")
print(*sorted({name.partition(".")[0] for name in sys.modules if name.startswith(kinds)}))
"""
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "c" type: "Convolution" bottom: "x" top: "c"
  convolution_param { num_output: 2 kernel_size: 3 weight_filler { type: "msra" } } }
layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
"""


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache."""
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "schema"


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Write the module of a plugin that is installed in a folder of its own."""
    site = tmp_path / "site"
    info = site / "cafx_layer_tilted-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(
        "Metadata-Version: 2.1\nName: cafx-layer-tilted\nVersion: 1.0\nRequires-Dist: cafx-kernel>=0.1,<0.2\n"
    )
    (info / "entry_points.txt").write_text("[cafx.layers]\nTilted = cafx_layer_tilted:Tilted\n")
    monkeypatch.syspath_prepend(str(site))

    def write(text: str) -> None:
        monkeypatch.delitem(sys.modules, "cafx_layer_tilted", raising=False)
        (site / "cafx_layer_tilted.py").write_text(textwrap.dedent(text))
        for compiled in site.glob("__pycache__/*"):
            compiled.unlink()

    return write


def composed() -> tuple[Schema, int]:
    """The schema as a new process composes it, and the number of plugins that it imports for that."""
    plugins = Registry()
    made = compose(plugins)
    return made, sum(1 for plugin in plugins.plugins("layer") if plugin in plugins._loaded)


def used(path: Path, text: str) -> list[set[str]]:
    """The plugins that two processes import for a net, the first of which composes the schema."""
    path.write_text(text)
    command = [sys.executable, "-c", USED, str(path)]
    runs = [subprocess.run(command, capture_output=True, text=True, check=True).stdout.split() for _ in range(2)]
    return [set(each) for each in runs]


@pytest.mark.slow
def test_a_net_imports_only_the_plugins_that_it_uses(tmp_path: Path) -> None:
    first, second = used(tmp_path / "net.prototxt", NET)
    assert len(first) > 50
    upgrades = {"cafx_dialect_mycaffe", "cafx_dialect_nvidia"}
    assert second - upgrades == {
        "cafx_data_input",
        "cafx_filler_constant",
        "cafx_filler_msra",
        "cafx_layer_convolution",
        "cafx_layer_relu",
    }


@pytest.mark.slow
def test_a_layer_that_reads_options_of_dialects_imports_these_and_no_further_layer(tmp_path: Path) -> None:
    target = 'layer { name: "t" type: "Input" top: "t" input_param { shape { dim: 1 dim: 6 dim: 6 } } }'
    loss = 'layer { name: "l" type: "SoftmaxWithLoss" bottom: "c" bottom: "t" top: "l" }'
    _, second = used(tmp_path / "net.prototxt", target + NET + loss)
    assert {each for each in second if each.startswith("cafx_layer_")} == {"cafx_layer_convolution", "cafx_layer_relu"}
    assert {each for each in second if each.startswith("cafx_loss_")} == {"cafx_loss_softmaxwithloss"}
    assert "cafx_dialect_segnet" in second


@pytest.mark.slow
def test_what_is_kept_gives_the_same_schema() -> None:
    (fresh, imported), (kept, later) = composed(), composed()
    assert imported > 60
    assert later == 0
    assert kept.names() == fresh.names()
    for name in fresh.names():
        assert str(kept[name].DESCRIPTOR.GetOptions()) == str(fresh[name].DESCRIPTOR.GetOptions())
        fields = [[(each.name, each.number, each.type) for each in s[name].DESCRIPTOR.fields] for s in (fresh, kept)]
        assert fields[0] == fields[1]
    assert kept.fields_of("LayerParameter").keys() == fresh.fields_of("LayerParameter").keys()
    assert kept.declarations.keys() == fresh.declarations.keys()
    assert sorted(kept.owners.values()) == sorted(fresh.owners.values())


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "transform_param { crop_h: 3 }",
        "pooling_param { ceil_mode: false }",
        "pooling_param { ceil_mode: true stride: 2 }",
        "loss_param { normalization: PRE_FIXED }",
        "transform_param { resize_param { height: 3 } resize_param { height: 4 } }",
        "transform_param { resize_param { height: 3 } }",
        "batch_norm_param { scale_bias: true }",
    ],
)
def test_fields_of_dialects_are_read_alike(text: str) -> None:
    (fresh, _), (kept, _) = composed(), composed()
    layer = f'layer {{ name: "x" {text} }}'
    one, two = (each.parse_text(layer, "NetParameter") for each in (fresh, kept))
    assert fresh.to_text(one) == kept.to_text(two)
    data = one.SerializeToString()
    again = [each.to_text(each.parse_bytes(data, "NetParameter")) for each in (fresh, kept)]
    assert again == [fresh.to_text(one)] * 2


@pytest.mark.slow
@pytest.mark.usefixtures("cache")
def test_a_changed_plugin_is_composed_again(install: Callable[[str], None]) -> None:
    install(MODULE.replace("FIELD", "angle"))
    assert composed()[0].parse_text(KIND.replace("FIELD", "angle"), "NetParameter")
    assert composed()[1] == 0
    install(MODULE.replace("FIELD", "slope"))
    schema, imported = composed()
    assert imported > 60
    assert schema.parse_text(KIND.replace("FIELD", "slope"), "NetParameter")
    with pytest.raises(CafxError, match="angle"):
        schema.parse_text(KIND.replace("FIELD", "angle"), "NetParameter")


@pytest.mark.slow
def test_nothing_is_kept_while_a_plugin_is_broken(install: Callable[[str], None], cache: Path) -> None:
    install("import no_such_module_anywhere")
    composed()
    assert not list(cache.glob("*"))
    install(MODULE)
    composed()
    assert len(list(cache.glob("*"))) == 1


def test_nothing_is_kept_of_what_only_a_process_adds(cache: Path) -> None:
    plugins = Registry()
    plugins.add("layer", "Mine", type("Mine", (), {"__module__": __name__}))
    compose(plugins)
    assert not list(cache.glob("*"))


@pytest.mark.slow
@pytest.mark.parametrize(
    "damage", [lambda data: b"", lambda data: data[:-9], lambda data: data.replace(b"dim", b"din")]
)
def test_a_damaged_entry_is_composed_again(cache: Path, damage: Callable[[bytes], bytes]) -> None:
    composed()
    (entry,) = cache.glob("*")
    entry.write_bytes(damage(entry.read_bytes()))
    assert composed()[1] > 60
    assert composed()[1] == 0


@pytest.mark.slow
def test_an_entry_that_others_may_write_is_not_read(cache: Path) -> None:
    composed()
    (entry,) = cache.glob("*")
    entry.chmod(0o666)
    assert composed()[1] > 60


@pytest.mark.slow
def test_an_empty_setting_disables_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFX_CACHE", "")
    composed()
    assert composed()[1] > 60
    assert os.environ["CAFX_CACHE"] == ""
