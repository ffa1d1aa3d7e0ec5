"""``cafx models`` as a person uses it."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import Net, Phase, schema
from cafx_command_models import models
from cafx_command_models.places import Bytes
from cafx_lib_zoo import ModelFolder, references
from cafx_lib_zoo.testing import Site, running, truncated

TestModels = plugin_suite("command", "models")

NET = """name: "Tiny Net"
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "ip" type: "InnerProduct" bottom: "conv" top: "ip"
  inner_product_param { num_output: 3 weight_filler { type: "xavier" } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""
INTERRUPTED = 130


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with a net and weights, and a cache of its own."""
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "cache"))
    monkeypatch.chdir(tmp_path)
    Path("deploy.prototxt").write_text(NET)
    Net("deploy.prototxt", Phase.TEST, engine="numpy", seed=1).save(Path("tiny.caffemodel"))
    Path("labels.txt").write_text("cat\ndog\nfish\n")
    Path("pre.json").write_text('{"size": [9, 9], "mean": [104, 117, 123]}')
    return tmp_path


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as found:
        yield found


def cafx(*arguments: Any, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cafx.cli", "models", *map(str, arguments)]
    return subprocess.run(
        command, capture_output=True, text=True, timeout=120, env={**os.environ, **environment}, check=False
    )


def run(*arguments: Any, code: int = 0) -> str:
    from cafx.cli.lazy import Settings

    result = CliRunner().invoke(models, [str(each) for each in arguments], obj=Settings(), catch_exceptions=code != 0)
    assert (result.exit_code != 0) == bool(code), result.output
    return str(result.exception) + result.output if code else result.stdout


PUBLISH = (
    "publish",
    "deploy.prototxt",
    "out",
    "-w",
    "tiny.caffemodel",
    "--labels",
    "labels.txt",
    "--preprocessing",
    "pre.json",
    "--license",
    "mit",
    "--task",
    "image-classification",
    "--metric",
    "accuracy=0.5",
)


@pytest.mark.slow
def test_a_model_is_published_served_got_verified_and_shown(site: Site) -> None:
    published = cafx(*PUBLISH)
    assert (published.returncode, published.stderr) == (0, "")
    digest = published.stdout.split()[-1]
    url = site.serve(Path("out"))
    got = cafx("get", url, "--sha256", digest, "--to", "here")
    assert (got.returncode, got.stdout) == (0, "here\n")
    assert got.stderr.splitlines()[0].startswith("deploy.prototxt: ")
    verified = cafx("verify", "here", "--json")
    assert verified.returncode == 0, verified.stderr
    summary = json.loads(verified.stdout)
    assert (summary["files"], summary["values"], summary["outputs"]) == (3, 4 * 27 + 4 + 3 * 144 + 3, {"prob": [1, 3]})
    shown = cafx("show", url)
    for expected in (
        "name: Tiny Net",
        "license: mit",
        "accuracy: 0.5",
        "minus 104, 117, 123",
        "Softmax: cafx-layer-softmax",
    ):
        assert expected in shown.stdout
    assert "tiny-net" in cafx("list").stdout
    assert cafx("verify", "tiny-net", "-q").returncode == 0


def test_what_was_changed_is_found() -> None:
    run(*PUBLISH, "-q")
    weights = Path("out/tiny-net.caffemodel")
    data = weights.read_bytes()
    weights.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    assert "is not the file that the card states: got sha256" in run("verify", "out", code=1)
    weights.write_bytes(data[:-1])
    assert "bytes, expected" in run("verify", "out", code=1)
    Path("swapped").mkdir()
    card = Path("out/readme.md").read_text()
    Path("swapped/readme.md").write_text(card.replace("net: deploy.prototxt", "net: tiny-net.caffemodel"))
    for name in ("deploy.prototxt", "labels.txt"):
        Path("swapped", name).write_bytes(Path("out", name).read_bytes())
    Path("swapped/tiny-net.caffemodel").write_bytes(data)
    assert "net and weights are swapped" in run("verify", "swapped", code=1)
    weights.unlink()
    assert "cannot be read" in run("verify", "out", code=1)


def test_what_cannot_be_used_is_not_published() -> None:
    Path("other.prototxt").write_text(NET.replace("num_output: 4", "num_output: 5"))
    assert "shape mismatch" in run("publish", "other.prototxt", "out", "-w", "tiny.caffemodel", code=1)
    Path("more.prototxt").write_text(NET.replace('"ip" type', '"other" type'))
    assert "nothing for other" in run("publish", "more.prototxt", "out", "-w", "tiny.caffemodel", code=1)
    assert "cannot be read" in run("publish", "deploy.prototxt", "out", "--labels", "none.txt", code=1)
    assert "not https" in run("publish", "deploy.prototxt", "out", "--mirror", "http://example.org", code=1)
    assert "try accuracy=" in run("publish", "deploy.prototxt", "out", "--metric", "accuracy", code=1)
    assert "net and weights are swapped" in run("publish", "tiny.caffemodel", "out", code=1)
    assert "there is no such net" in run("publish", "squeezenot", "out", code=1)
    assert not Path("out").exists()
    assert [path for path in Path().iterdir() if path.name.startswith(".")] == []
    run(*PUBLISH)
    assert "already exists" in run(*PUBLISH, code=1)


def test_labels_must_fit_the_net() -> None:
    Path("labels.txt").write_text("cat\ndog\n")
    run(*PUBLISH)
    assert "not as many labels as classes: got 2, expected 3" in run("verify", "out", code=1)


def test_a_net_that_runs_code_of_its_own_is_not_built_unless_trusted() -> None:
    run(*PUBLISH)
    python = (
        NET + 'layer { name: "p" type: "Python" bottom: "prob" top: "q" python_param { module: "evil" layer: "E" } }\n'
    )
    Path("evil.prototxt").write_text(python)
    Path("evil.py").write_text("open('ran', 'w')\n")
    run("publish", "evil.prototxt", "evil")
    assert "trust" in run("verify", "evil", code=1)
    assert not Path("ran").exists()


@pytest.mark.slow
def test_a_missing_layer_is_explained(site: Site) -> None:
    run(*PUBLISH)
    card = (
        Path("out/readme.md")
        .read_text()
        .replace("    Softmax: cafx-layer-softmax", "    Foo: evil-package\n    Permute: x")
    )
    Path("out/readme.md").write_text(card)
    got = cafx("get", "out", "--to", "here")
    assert (got.returncode, got.stdout) == (0, "here\n")
    assert "unknown layer type 'Foo'" in got.stderr
    assert "evil-package" not in got.stderr
    assert "Foo" in run("verify", "here", code=1)


@pytest.mark.slow
def test_an_interrupted_download_leaves_no_model_and_continues(site: Site) -> None:
    run(*PUBLISH)
    url = site.serve(Path("out"))
    data = site.files["/m/tiny-net.caffemodel"]

    def stuck(handler: Any) -> None:
        truncated(data, 1000)(handler)
        handler.wfile.flush()
        time.sleep(30)

    site.special["/m/tiny-net.caffemodel"] = stuck
    process = subprocess.Popen(
        [sys.executable, "-m", "cafx.cli", "models", "get", url, "--to", "here"], stderr=subprocess.PIPE, text=True
    )
    while (
        not [path for path in Path("cache").rglob("*.part") if path.stat().st_size == 1000] and process.poll() is None
    ):
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == INTERRUPTED
    assert [line for line in errors.splitlines() if line][-2:] == [
        "run the same command again to continue",
        "interrupted",
    ]
    assert not Path("here").exists()
    del site.special["/m/tiny-net.caffemodel"]
    assert cafx("get", url, "--to", "here").returncode == 0
    assert ("/m/tiny-net.caffemodel", "bytes=1000-") in site.requests


@pytest.mark.slow
def test_weights_are_converted() -> None:
    text = run("convert", "tiny.caffemodel", "tiny.safetensors")
    assert text == "tiny.safetensors: 4 blobs of 4 layers, 547 values\n"
    run("convert", "tiny.safetensors", "tiny.h5", "-q")
    summary = json.loads(run("convert", "tiny.h5", "again.caffemodel", "--net", "deploy.prototxt", "--json"))
    assert (summary["blobs"], summary["left_out"]) == (4, [])
    assert Path("again.caffemodel").read_bytes() == Path("tiny.caffemodel").read_bytes()
    assert "same file" in run("convert", "tiny.h5", "tiny.h5", code=1)


@pytest.mark.parametrize(
    ("arguments", "match"),
    [
        (("get", "nothing"), "no such model"),
        (("get", "squeezenet"), "an architecture without weights; 'cafx models publish squeezenet DIR'"),
        (("get", "hf:"), "is not the name of a model|lib.hub"),
        (("get", "out", "--sha256", "12"), "64 hexadecimal digits"),
        (("get", "x", "--max-size", "lots"), "try 500M or 4G"),
        (("verify", "https://example.org/x"), "is not here; get it first"),
        (("show", "deploy.prototxt"), r"has no readme\.md|no such model"),
        (("search", "x", "--source", "https"), "cannot search"),
    ],
)
def test_a_wrong_command_line_is_explained(arguments: tuple[str, ...], match: str) -> None:
    assert re.search(match, run(*arguments, code=1))


@pytest.mark.slow
def test_a_hostile_card_does_not_control_the_terminal() -> None:
    run(*PUBLISH, "-q")
    card = Path("out/readme.md").read_text().replace("name: Tiny Net", 'name: "Tiny\\e[2J\\u202eNet"')
    Path("out/readme.md").write_text(card)
    for arguments in (("show", "out"), ("list", "."), ("get", "out", "--to", "here")):
        done = cafx(*arguments)
        assert done.returncode == 0, done.stderr
        assert not re.search(r"[\x1b\u202e]", done.stdout + done.stderr)


def test_models_are_listed_and_searched() -> None:
    run(*PUBLISH)
    entries = json.loads(run("list", ".", "--json"))
    assert {each["name"] for each in entries if each["kind"] == "reference"} == set(references())
    assert [each["name"] for each in entries if each["kind"] == "folder"] == ["out"]
    assert [each["name"] for each in json.loads(run("search", "TINY", ".", "--json"))] == ["out"]
    Path("out/readme.md").write_text("---\n- no table\n---\n")
    assert "error: " in run("list", ".")


def test_sizes_are_read_as_people_write_them() -> None:
    assert [Bytes().convert(text, None, None) for text in ("12", "5M", "4 GB", "1k")] == [
        12,
        5 * 10**6,
        4 * 10**9,
        1000,
    ]


def returns(name: str, folder: Path, with_weights: bool) -> None:
    """Publish a reference model, get it, and verify it."""
    options: list[Any] = []
    if with_weights:
        text = registry_net(name)
        net = Net(text, Phase.TEST, engine="numpy", seed=1)
        net.save(folder / "w.caffemodel")
        net.close()
        options = ["-w", folder / "w.caffemodel"]
    run("publish", name, folder / "published", *options, "-q")
    run("get", folder / "published", "--to", folder / "got", "-q")
    run("verify", folder / "got", "-q")
    one, other = ModelFolder.read(folder / "published"), ModelFolder.read(folder / "got")
    assert one.readme == other.readme
    assert {"deploy.prototxt", "train.prototxt"} <= set(other.card.files)
    assert other.damaged() == []
    again = schema().read_text(other.net, "NetParameter")
    assert again == registry_net(name)


def registry_net(name: str) -> Any:
    from cafx_lib_zoo import reference_net

    return reference_net(name)


@pytest.mark.slow
def test_a_reference_model_is_published_and_comes_back(tmp_path: Path) -> None:
    returns("squeezenet", tmp_path, with_weights=True)


@pytest.mark.long
@pytest.mark.parametrize("name", references())
def test_all_reference_models_are_published_and_come_back(name: str, tmp_path: Path) -> None:
    returns(name, tmp_path, with_weights=True)
    for path in tmp_path.rglob("*.caffemodel"):
        path.unlink()
