"""What is missing is named with its place and fork, all of it at once, and with the line that installs it."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from cafx.kernel import CafxError, schema
from cafx_lib_hints import install, remedy
from cafx_lib_hints.known import Known, Provider, convention
from cafx_lib_hints.needs import Need, needs_of, refusal

ROOT = Path(__file__).resolve().parents[3]
X = "the fork X"
CHECKOUT = "/no/clone"
CLONE = {"url": f"file://{CHECKOUT}", "dir_info": {}}
TABLE = Known(
    {
        ("layer", "Nose"): [Provider(X, "cafx-layer-nose")],
        ("LayerParameter", "nose_param"): [Provider(X, "cafx-layer-mouth"), Provider(X, "cafx-layer-nose")],
        ("PoolingParameter", "smell"): [Provider(X, "cafx-dialect-x")],
        ("layer", "Ear"): [Provider("", "cafx-layer-ear")],
        ("module", "hair.layer"): [Provider(X, "cafx-upgrade-hair")],
        ("module", "hints"): [Provider(X, "cafx-lib-hints")],
        ("module", "json"): [Provider(X, "cafx-upgrade-hair")],
    },
    {"cafx-x": frozenset({"cafx-layer-nose", "cafx-dialect-x"})},
    {
        "cafx-x": frozenset({"cafx-layer-nose", "cafx-dialect-x"}),
        "cafx-layer-nose": frozenset({"cafx-lib-smell"}),
        "cafx-lib-smell": frozenset({"cafx-layer-nose"}),
    },
    {
        "cafx-x": "contrib/bundles/x",
        "cafx-layer-nose": "contrib/layers/nose",
        "cafx-dialect-x": "contrib/dialects/x",
        "cafx-lib-smell": "contrib/lib/smell",
        "cafx-layer-ear": "contrib/layers/ear",
        "cafx-upgrade-hair": "contrib/dialects/hair",
        "cafx-lib-sight": "plugins/lib/sight",
    },
    {"sight": frozenset({"cafx-lib-sight[eyes]", "cafx-layer-ear"})},
)
NET = """name: "n"
layer { name: "a" type: "Nose" nose_param { deep { layer: 1 } } }
layer { name: "b" type: "Pooling" pooling_param { smell: true pool: MEAN } }
layer { name: "c" type: "Nose" nose_params { x: 1 } force_: 1 }
"""


FOUND = install.Origin.checkout.fget


def checkout_of(found: install.Origin) -> Path | None:
    """The checkout; `CHECKOUT` need not be there."""
    return Path(CHECKOUT) if found.path == Path(CHECKOUT) else FOUND(found)


@pytest.fixture(autouse=True)
def _table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Known, "read", lambda: TABLE)
    monkeypatch.setattr(install.metadata, "distribution", lambda _: origin(CLONE, "pip"))
    monkeypatch.setattr(install.Origin, "checkout", property(checkout_of))
    monkeypatch.setattr(install.shutil, "which", lambda _: str(Path(sys.executable).with_name("pip")))
    monkeypatch.setenv("VIRTUAL_ENV", sys.prefix)


def folders(*names: str) -> str:
    """Folders of contrib as the repository's."""
    return " ".join(f"{CHECKOUT}/contrib/{name}" for name in names)


def origin(direct: object, installer: str) -> SimpleNamespace:
    """A distribution that was installed from somewhere."""
    texts = {"direct_url.json": json.dumps(direct), "INSTALLER": f"{installer}\n"}
    return SimpleNamespace(read_text=texts.get)


def test_everything_missing_is_listed_with_its_place_and_fork() -> None:
    with pytest.raises(CafxError) as caught:
        schema().parse_text(NET, "NetParameter", "net.prototxt")
    lines = str(caught.value).splitlines()
    assert lines[0] == "net.prototxt: needs 6 things that are not installed:"
    assert [line.strip() for line in lines[1:-1]] == [
        "net.prototxt:2: unknown layer type 'Nose', 2 times (the fork X)",
        "net.prototxt:2: LayerParameter has no field 'nose_param' (the fork X)",
        "net.prototxt:3: PoolingParameter has no field 'smell' (the fork X)",
        "net.prototxt:3: unknown value 'MEAN' of PoolingParameter.PoolMethod (no package known here provides it)",
        "net.prototxt:4: LayerParameter has no field 'nose_params' (no package known here provides it)",
        "net.prototxt:4: LayerParameter has no field 'force_' (no package known here provides it)",
    ]
    assert (
        lines[-1]
        == f"install the others with: pip install {folders('bundles/x', 'dialects/x', 'layers/nose', 'lib/smell')}"
    )


def test_what_is_known_in_full_is_installed_in_full() -> None:
    error = refusal([Need("layer", "Nose", 1), Need("layer", "Ear", 2)], "n")
    assert (
        str(error).splitlines()[-1]
        == f"install them with: pip install {folders('layers/ear', 'layers/nose', 'lib/smell')}"
    )


def test_of_several_providers_one_that_is_wanted_anyway_is_installed() -> None:
    field = ("LayerParameter", "nose_param")
    assert TABLE.distributions([field, ("layer", "Nose")]) == ["cafx-layer-nose"]
    assert TABLE.distributions([field]) == ["cafx-layer-mouth"]


def test_types_that_only_the_registry_misses_are_listed_too() -> None:
    from cafx.kernel import Net

    text = 'layer { name: "a" type: "Nose" top: "x" } layer { name: "b" type: "Mouth" bottom: "x" top: "y" }'
    with pytest.raises(CafxError, match=r"(?s)needs 2 things .*'Nose' \(the fork X\).*'Mouth'.*contrib/layers/nose"):
        Net(schema().parse_text(text, "NetParameter"))


def test_a_single_need_is_one_line() -> None:
    error = refusal([Need("layer", "Ear", 3)], "n.prototxt")
    assert str(error) == f"n.prototxt:3: unknown layer type 'Ear'; install it with: pip install {folders('layers/ear')}"


def test_a_long_list_is_cut() -> None:
    error = refusal([Need("layer", f"T{i}", i + 1) for i in range(100)], "n")
    assert len(str(error).splitlines()) < 50
    assert "and 60 more" in str(error)


@pytest.mark.parametrize(
    ("direct", "installer", "line"),
    [
        (
            {},
            "uv",
            "uv pip install CHECKOUT/contrib/layers/ear 'CHECKOUT/plugins/lib/sight[eyes]' "
            "(CHECKOUT is a clone of cafx's repository)",
        ),
        (
            {"url": "file:///no/wheels/k.whl", "archive_info": {}},
            "pip",
            "pip install /no/wheels/cafx_layer_ear-VERSION-py3-none-any.whl "
            "'/no/wheels/cafx_lib_sight-VERSION-py3-none-any.whl[eyes]'",
        ),
        (
            {"url": "https://x.org/cafx", "vcs_info": {"vcs": "git", "commit_id": "12ab"}},
            "uv",
            "uv pip install 'cafx-layer-ear @ git+https://x.org/cafx@12ab#subdirectory=contrib/layers/ear' "
            "'cafx-lib-sight[eyes] @ git+https://x.org/cafx@12ab#subdirectory=plugins/lib/sight'",
        ),
    ],
)
def test_the_line_installs_from_where_cafx_came(
    monkeypatch: pytest.MonkeyPatch, direct: object, installer: str, line: str
) -> None:
    monkeypatch.setattr(install.metadata, "distribution", lambda _: origin(direct, installer))
    assert install.install_line(["cafx[sight]"]) == line


def test_many_parts_are_named_from_their_folder() -> None:
    line = install.install_line(["cafx-x", "cafx-layer-ear"])
    where = "contrib/bundles/x contrib/dialects/x contrib/layers/ear contrib/layers/nose contrib/lib/smell"
    assert line == f"cd {CHECKOUT} && pip install {where}"


def test_wheels_are_named_by_their_files(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for version in ("0.9.0", "0.10.0"):
        (tmp_path / f"cafx_layer_ear-{version}-py3-none-any.whl").touch()
    direct = {"url": f"file://{tmp_path}/cafx-0.1.0-py3-none-any.whl", "archive_info": {}}
    monkeypatch.setattr(install.metadata, "distribution", lambda _: origin(direct, "uv"))
    line = f"uv pip install {tmp_path}/cafx_layer_ear-0.10.0-py3-none-any.whl"
    assert install.install_line(["cafx-layer-ear"]) == line


@pytest.mark.parametrize(
    ("installer", "line"), [("pip", "{python} -m pip install {ear}"), ("uv", "uv pip install --python {python} {ear}")]
)
def test_an_environment_that_is_not_active_is_named(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installer: str, line: str
) -> None:
    monkeypatch.setattr(install.metadata, "distribution", lambda _: origin(CLONE, installer))
    monkeypatch.setattr(install.shutil, "which", lambda _: str(tmp_path / "pip"))
    monkeypatch.delenv("VIRTUAL_ENV")
    monkeypatch.setattr(install.sys, "executable", "/my env/bin/python")
    expected = line.format(python="'/my env/bin/python'", ear=folders("layers/ear"))
    assert install.install_line(["cafx-layer-ear"]) == expected


@pytest.mark.parametrize("named", ["cafx", "cafx-kernel"])
def test_a_checkout_installs_its_own_folders(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, named: str) -> None:
    for folder in ("kernel", "contrib"):
        (tmp_path / folder).mkdir()
    at = tmp_path / "kernel" if named == "cafx-kernel" else tmp_path
    direct = {"url": f"file://{at}", "dir_info": {"editable": True}}
    monkeypatch.setattr(install.metadata, "distribution", lambda name: origin(direct if name == named else {}, "uv"))
    needed = "bundles/x", "dialects/x", "layers/nose", "lib/smell"
    folders = [f"-e {tmp_path}/contrib/{each}" for each in needed]
    assert install.install_line(["cafx-x"]) == f"uv pip install {' '.join(folders)}"


@pytest.mark.parametrize(
    ("kind", "name", "known", "advice"),
    [
        (
            "layer",
            "Nose",
            ["Noise"],
            f"part of the fork X; install it with: pip install {CHECKOUT}/contrib/layers/nose",
        ),
        ("module", "hair.layer", [], f"pip install {CHECKOUT}/contrib/dialects/hair"),
        ("layer", "ReLu", ["ReLU", "PReLU"], "did you mean 'ReLU'?"),
        ("solver", "Lion", ["SGD"], "cafx-solver-lion: check who publishes it"),
        ("LayerParameter", "hand_wave_param", ["name"], "cafx-layer-handwave: check who publishes it"),
        ("layer", "../$(x)", [], "cafx-layer-x: check"),
    ],
)
def test_one_name_gets_one_advice(kind: str, name: str, known: list[str], advice: str) -> None:
    found = remedy(kind, name, known)
    assert found is not None
    assert advice in found


def test_python_modules_that_are_replaced_are_listed_where_they_are_not_there() -> None:
    layer = 'layer {{ type: "Python" python_param {{ module: "{}" layer: "A" }} }}\n'
    text = "".join(map(layer.format, ["hair.layer", "json", "hints", "my_own"])) + 'layer { type: "Nose" }'
    found = needs_of(text, schema()["NetParameter"].DESCRIPTOR)
    assert [(need.name, need.line) for need in found] == [("hair.layer", 1), ("Nose", 5)]
    error = refusal(found, "n")
    assert "n:1: no Python module 'hair.layer' (the fork X)" in str(error)
    assert str(error).endswith(folders("dialects/hair", "layers/nose", "lib/smell"))


def test_a_replacement_that_is_there_is_not_installed_again() -> None:
    assert remedy("module", "hints", []) is None
    assert remedy("module", "my_own", []) is None


def test_fields_of_existing_messages_follow_no_convention() -> None:
    assert convention("PoolingParameter", "odd") is None


def test_unknown_things_inside_unknown_things_are_passed_over() -> None:
    descriptor = schema()["NetParameter"].DESCRIPTOR
    found = needs_of('layer { eye_param { a { b: 1 } c: [{ d: 2 }] } } name: "n" color_: RED', descriptor)
    assert [need.name for need in found] == ["eye_param", "color_"]


def test_the_table_is_up_to_date(monkeypatch: pytest.MonkeyPatch) -> None:
    script = ROOT / ".ci" / "known.py"
    if not script.is_file():
        pytest.skip("not a checkout")
    made = runpy.run_path(str(script))
    assert made["TABLE"].read_text("utf-8") == made["table"](), "run: uv run python .ci/known.py"
