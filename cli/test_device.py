"""``cafx device``."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator, Sequence
from typing import ClassVar

import pytest

from cafx.cli import devices
from cafx.cli.main import run
from cafx.kernel import CafxError, Device, Engine, Registry, registry
from cafx.kernel.net import available_engine
from cafx.kernel.registry import installed, using_registry

Run = Callable[..., subprocess.CompletedProcess[str]]

GIB = 1 << 30
CARD = Device(0, "Card A", 80 * GIB, 79 * GIB, {"compute capability": "9.0", "driver": "580.65"})


class Fake(Engine):
    """An engine with two cards."""

    name = "fake"
    priority = 50
    gpu = True
    lacking: ClassVar[str | None] = None
    cards: ClassVar[Sequence[Device] | CafxError] = (CARD, Device(1, "Card B", 16 * GIB, 4 * GIB))

    @classmethod
    def unavailable(cls) -> str | None:
        return cls.lacking

    @classmethod
    def devices(cls) -> Sequence[Device]:
        if isinstance(cls.cards, CafxError):
            raise cls.cards
        return cls.cards


@pytest.fixture(autouse=True)
def plugins(monkeypatch: pytest.MonkeyPatch) -> Iterator[Registry]:
    """The environment's plugins without GPU engines, on a machine without a driver."""
    on_cpu = {plugin.name for plugin, engine in registry().usable("engine") if not engine.gpu}
    points = [point for point in installed() if point.group != "cafx.engines" or point.name in on_cpu]
    monkeypatch.setattr(devices, "DRIVER", "libnothing.so.1")
    monkeypatch.delenv("CAFX_ENGINE", raising=False)
    found = Registry(points)
    with using_registry(found):
        yield found


@pytest.fixture
def fake(plugins: Registry) -> Registry:
    """The same with the fake engine."""
    plugins.add("engine", "fake", Fake)
    return plugins


def output(capsys: pytest.CaptureFixture[str], *arguments: str, code: int = 0) -> str:
    assert run(["device", *arguments]) == code
    out, err = capsys.readouterr()
    assert bool(out) is not bool(err)
    return out or err


@pytest.mark.usefixtures("fake")
def test_each_card_is_described(capsys: pytest.CaptureFixture[str]) -> None:
    lines = output(capsys).splitlines()
    assert lines[:5] == [
        "fake 0 (default): available",
        "  GPU 0: Card A, 80.00 GiB of memory, 79.00 GiB free",
        "    compute capability: 9.0",
        "    driver: 580.65",
        "  GPU 1: Card B, 16.00 GiB of memory, 4.00 GiB free",
    ]
    assert lines[-1] == "numpy 0.1.0: available"


@pytest.mark.usefixtures("fake")
def test_json_has_the_same(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    found = json.loads(output(capsys, "--json"))
    row = found["engines"][0]
    assert (found["default"], found["missing"]) == ("fake", [])
    assert (row["name"], row["gpu"], row["available"], row["reason"]) == ("fake", True, True, None)
    assert row["devices"][0] == {
        "index": 0,
        "name": "Card A",
        "memory": 80 * GIB,
        "free": 79 * GIB,
        "details": {"compute capability": "9.0", "driver": "580.65"},
    }
    monkeypatch.setenv("CAFX_ENGINE", "numpy")
    assert json.loads(output(capsys, "--json"))["default"] == "numpy"


@pytest.mark.parametrize(("gpu", "shown"), [("0", {0}), ("1", {1}), ("0,1", {0, 1}), ("all", {0, 1})])
@pytest.mark.usefixtures("fake")
def test_gpu_limits_to_a_card(gpu: str, shown: set[int], capsys: pytest.CaptureFixture[str]) -> None:
    found = json.loads(output(capsys, "--gpu", gpu, "--json"))
    assert {device["index"] for row in found["engines"] for device in row["devices"]} == shown
    assert {row["name"] for row in found["engines"]} == ({"fake"} if gpu != "all" else {"fake", "numpy", "onednn"})


@pytest.mark.usefixtures("fake")
def test_a_card_that_is_not_there_is_an_error(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert output(capsys, "--gpu", "2", code=1) == "error: no GPU 2 here: expected 0 or 1 [E-gpu]\n"
    assert output(capsys, "--gpu", "0,7", code=1) == "error: no GPU 7 here: expected 0 or 1 [E-gpu]\n"
    assert "not the number of a GPU: got x" in output(capsys, "--gpu", "x", code=1)
    monkeypatch.setattr(Fake, "cards", ())
    assert output(capsys, "--gpu", "0", code=1) == "error: no GPU 0 here: fake: finds no GPU [E-gpu]\n"


@pytest.mark.usefixtures("fake")
def test_an_engine_that_cannot_run_says_why(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "lacking", "no CuPy: pip install it")
    text = output(capsys)
    assert "fake 0: not available: no CuPy: pip install it\n" in text
    assert "default" not in text.split("fake")[1]
    assert text.endswith("lacks:\n  an NVIDIA GPU and its driver (libnothing.so.1 is not found)\n")
    assert "fake: no CuPy: pip install it" in output(capsys, "--gpu", "0", code=1)


@pytest.mark.usefixtures("fake")
def test_cards_that_cannot_be_read_are_a_reason(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Fake, "cards", CafxError("the card does not answer"))
    assert "fake 0: not available: the card does not answer\n" in output(capsys)


def test_without_a_gpu_engine_it_says_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    text = output(capsys)
    assert "numpy 0.1.0: available\n" in text
    assert text.splitlines()[-3:] == [
        "To use a GPU, this machine lacks:",
        "  an NVIDIA GPU and its driver (libnothing.so.1 is not found)",
        f"  a GPU engine: {registry().install_line('cafx[cuda]')}",
    ]
    error = output(capsys, "--gpu", "0", code=1)
    assert error.startswith("error: no GPU 0 here: missing: an NVIDIA GPU and its driver")
    monkeypatch.setattr(devices, "DRIVER", "libc.so.6")
    assert output(capsys).endswith(f"lacks:\n  a GPU engine: {registry().install_line('cafx[cuda]')}\n")


def test_an_engine_that_cannot_be_imported_is_listed(
    plugins: Registry, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(plugins._errors, plugins.find("engine", "numpy"), CafxError("it is broken"))
    assert "numpy 0.1.0: not available: it is broken\n" in output(capsys)
    row = json.loads(output(capsys, "--json"))["engines"][-1]
    assert (row["name"], row["gpu"], row["available"]) == ("numpy", None, False)


@pytest.mark.slow
@pytest.mark.skipif(bool(available_engine(registry(), gpu=True)), reason="a GPU engine can run here")
def test_here_without_a_gpu(cafx: Run) -> None:
    text = cafx("device").stdout
    assert "numpy 0.1.0 (default): available\n" in text  # the fixture sets CAFX_ENGINE
    assert "NVIDIA" in text or registry().install_line("cafx[cuda]") in text
    error = cafx("device", "--gpu", "0", code=1).stderr
    assert error.startswith("error: no GPU 0 here: ")
    assert error.count("\n") == 1


@pytest.mark.slow
def test_the_name_of_caffe_s_command_is_understood(cafx: Run) -> None:
    assert "numpy 0." in cafx("device_query").stdout
