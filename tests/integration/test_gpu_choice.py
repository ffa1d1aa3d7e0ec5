"""Choosing a GPU: ``--gpu``, ``solver_mode`` and ``device_id``, and machines without one."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest

from cafx.cli.main import run
from cafx.kernel import CafxError, Engine, Registry, Solver, registry, schema, set_engine
from cafx.kernel.net import available_engine
from cafx.kernel.registry import installed, using_registry
from cafx.kernel.training import engine_of_mode

LIMIT = 120
NET = """
name: "Tiny"
layer { name: "data" type: "DummyData" top: "data" top: "target"
  dummy_data_param { shape { dim: 2 dim: 3 } shape { dim: 2 dim: 1 } data_filler { value: 1 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
  inner_product_param { num_output: 1 weight_filler { type: "gaussian" std: 1 } } }
layer { name: "loss" type: "EuclideanLoss" bottom: "ip" bottom: "target" top: "loss" }
"""
SOLVER = """
net: "net.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 2 snapshot_prefix: "tiny" random_seed: 1
"""
NO_DRIVER = "no NVIDIA driver: install one"
NOTICE = f"solver_mode: GPU: no GPU here (fast, portable: {NO_DRIVER}); training on the CPU"

Cafx = Callable[..., "subprocess.CompletedProcess[str]"]


class Portable(Engine):
    """Runs on the processor and says that it is a GPU."""

    name = "portable"
    priority = 5
    gpu = True
    cards: ClassVar[int] = 4
    lacking: ClassVar[str | None] = None
    made: ClassVar[list[tuple[str, int]]] = []

    def __init__(self, plugins: Registry, *, device: int = 0, **settings: Any) -> None:
        if device >= self.cards:
            raise CafxError("no such GPU", found=device, expected=f"0 to {self.cards - 1}")
        super().__init__(plugins, device=device, **settings)
        self.made.append((self.name, device))

    @classmethod
    def unavailable(cls) -> str | None:
        return Portable.lacking


class Fast(Portable):
    """The faster of the two."""

    name = "fast"
    priority = 20


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "net.prototxt").write_text(NET)
    (tmp_path / "solver.prototxt").write_text(SOLVER)
    monkeypatch.chdir(tmp_path)
    for setting in ("CAFX_ENGINE", "CAFX_STRICT_MODE", "CAFX_PRECISION"):
        monkeypatch.delenv(setting, raising=False)
    monkeypatch.setattr(Portable, "made", [])
    return tmp_path


@pytest.fixture
def no_gpu_engine() -> Iterator[Registry]:
    """The environment's plugins without GPU engines."""
    on_cpu = {plugin.name for plugin, engine in registry().usable("engine") if not engine.gpu}
    plugins = Registry([point for point in installed() if point.group != "cafx.engines" or point.name in on_cpu])
    with using_registry(plugins):
        yield plugins


@pytest.fixture
def gpu(no_gpu_engine: Registry) -> Registry:
    """The same with two GPU engines."""
    no_gpu_engine.add("engine", "portable", Portable)
    no_gpu_engine.add("engine", "fast", Fast)
    return no_gpu_engine


@pytest.fixture
def no_gpu(gpu: Registry, monkeypatch: pytest.MonkeyPatch) -> Registry:
    """The two engines on a machine where they cannot run."""
    monkeypatch.setattr(Portable, "lacking", NO_DRIVER)
    return gpu


def options(text: str = "") -> Any:
    return schema().parse_text(SOLVER + text, "SolverParameter")


def best_on_cpu() -> str:
    name = available_engine(registry(), gpu=False)
    assert name
    return name


def error_of(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    """The error of a command that fails: one line, exit code 1."""
    assert run(arguments) == 1
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    return err.removeprefix("error: ").rstrip()


@pytest.mark.slow
@pytest.mark.usefixtures("gpu")
def test_every_command_with_an_engine_takes_gpu(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    weights = "tiny_iter_2.caffemodel"
    commands = [
        ["train", "--solver", "solver.prototxt", "-q"],
        ["test", "net.prototxt", "-w", weights, "-n", "1", "-q"],
        ["time", "net.prototxt", "-n", "1"],
        ["net", "net.prototxt"],
        ["extract-features", weights, "net.prototxt", "ip", "ip.h5", "1", "--backend", "hdf5"],
    ]
    for command in commands:
        assert run([*command, "--gpu", "3"]) == 0, capsys.readouterr().err
    assert Portable.made == [("fast", 3)] * len(commands)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("stated", "arguments", "expected"),
    [
        (None, [], ("fast", 0)),
        (None, ["--gpu", "2"], ("fast", 2)),
        (None, ["--engine", "portable", "--gpu", "1"], ("portable", 1)),
        (None, ["--engine", "portable"], ("portable", 0)),
        ("portable", ["--gpu", "1"], ("portable", 1)),
        ("numpy", ["--gpu", "1"], ("fast", 1)),
        ("numpy", [], None),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_the_gpu_engine_that_is_meant(
    stated: str | None, arguments: list[str], expected: tuple[str, int] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if stated:
        monkeypatch.setenv("CAFX_ENGINE", stated)
    assert run(["net", "net.prototxt", *arguments]) == 0
    assert Portable.made == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--gpu", "0,1"], "--gpu: one GPU per process: got 0,1, expected one number, as in --gpu 0"),
        (["--gpu", "all"], "--gpu: one GPU per process: got all"),
        (["--gpu", "-1"], "--gpu: not the number of a GPU: got -1"),
        (["--gpu", "first"], "--gpu: not the number of a GPU: got first"),
        (["--gpu", "4"], "no such GPU: got 4, expected 0 to 3"),
        (["--gpu", "0", "--engine", "numpy"], "two engines asked for: got --engine numpy and --gpu 0"),
        (["--gpu", "0", "--engine", "nosuch"], "unknown engine 'nosuch'"),
        (["--gpu", "0", "--precision", "tf32"], "engine 'fast' has no such precision: got tf32, expected float32"),
        (["--engine", "numpy", "--precision", "tf32"], "engine 'numpy' has no such precision"),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_a_choice_that_cannot_be_met(arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in (["net", "net.prototxt"], ["train", "--solver", "solver.prototxt"]):
        assert error_of(capsys, *command, *arguments).startswith(message)


@pytest.mark.usefixtures("no_gpu")
def test_gpu_without_one_tells_what_each_engine_lacks(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    error = error_of(capsys, "net", "net.prototxt", "--gpu", "0")
    assert error.startswith(f"--gpu 0: cannot run on a GPU: fast, portable: {NO_DRIVER}; ")
    error = error_of(capsys, "net", "net.prototxt", "--engine", "fast")
    assert error == f"engine 'fast' cannot run here: {NO_DRIVER}; choose another with --engine [E-engine]"
    monkeypatch.setattr(Fast, "unavailable", lambda: "no CuPy")
    error = error_of(capsys, "net", "net.prototxt", "--gpu", "0")
    assert f"fast: no CuPy; portable: {NO_DRIVER};" in error


@pytest.mark.usefixtures("no_gpu_engine")
def test_gpu_without_a_gpu_engine_names_the_packages(capsys: pytest.CaptureFixture[str]) -> None:
    error = error_of(capsys, "net", "net.prototxt", "--gpu", "0")
    assert f"no GPU engine is installed: {registry().install_line('cafx[cuda]')}" in error


def test_an_engine_that_cannot_be_imported_is_among_the_reasons(
    no_gpu_engine: Registry, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    plugin = no_gpu_engine.find("engine", "numpy")
    monkeypatch.setitem(no_gpu_engine._errors, plugin, CafxError("numpy cannot be imported"))
    error = error_of(capsys, "net", "net.prototxt", "--gpu", "0")
    assert "numpy: numpy cannot be imported; no GPU engine is installed" in error


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("solver_mode: GPU", ("fast", 0)),
        ("solver_mode: GPU device_id: 2", ("fast", 2)),
        ("device_id: 3", ("fast", 3)),
        ("", ("fast", 0)),
        ("solver_mode: CPU device_id: 2", None),
    ],
)
@pytest.mark.usefixtures("gpu")
def test_a_solver_file_picks_engine_and_device(
    text: str, expected: tuple[str, int] | None, caplog: pytest.LogCaptureFixture
) -> None:
    with Solver(options(text)) as solver:
        assert solver.net.engine.name == (expected[0] if expected else best_on_cpu())
    assert Portable.made == ([expected] if expected else [])
    assert not caplog.records


@pytest.mark.parametrize("text", ["solver_mode: GPU device_id: 2", "solver_mode: CPU device_id: 2"])
@pytest.mark.usefixtures("gpu")
def test_an_engine_chosen_goes_before_the_file(text: str, monkeypatch: pytest.MonkeyPatch) -> None:
    for engine in ("numpy", "portable"):
        with Solver(options(text), engine=engine) as solver:
            assert (solver.net.engine.name, solver.net.engine.device) == (engine, 0)
        set_engine(engine)
        with Solver(options(text)) as solver:
            assert solver.net.engine.name == engine
        set_engine(None)
        monkeypatch.setenv("CAFX_ENGINE", engine)
        with Solver(options(text)) as solver:
            assert solver.net.engine.name == engine
        monkeypatch.delenv("CAFX_ENGINE")


@pytest.mark.usefixtures("gpu")
def test_a_device_given_goes_before_the_file() -> None:
    for device in (0, 1):
        with Solver(options("solver_mode: GPU device_id: 2"), device=device) as solver:
            assert solver.net.engine.device == device
    assert run(["train", "--solver", "solver.prototxt", "-q", "--set", "device_id=2", "--gpu", "0"]) == 0
    assert Portable.made[-1] == ("fast", 0)


@pytest.mark.usefixtures("no_gpu")
def test_solver_mode_gpu_without_one_trains_on_the_cpu_with_one_notice(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO), Solver(options("solver_mode: GPU device_id: 1")) as solver:
        solver.step(2)
    assert solver.net.engine.name == best_on_cpu()
    assert [(each.name, each.levelname, each.getMessage()) for each in caplog.records] == [
        ("cafx.solver", "WARNING", NOTICE)
    ]


@pytest.mark.usefixtures("no_gpu")
def test_no_notice_where_nothing_is_asked_or_an_engine_is_chosen(caplog: pytest.LogCaptureFixture) -> None:
    for text, engine in (("", None), ("solver_mode: CPU", None), ("solver_mode: GPU", "numpy")):
        with Solver(options(text), engine=engine):
            pass
    set_engine("numpy")
    with Solver(options("solver_mode: GPU")):
        pass
    set_engine(None)
    assert not caplog.records


@pytest.mark.usefixtures("no_gpu")
def test_strict_mode_refuses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CAFX_STRICT_MODE", "1")
    expected = r"s\.prototxt: solver_mode: GPU: no GPU here \(fast, portable: .*\); unset CAFX_STRICT_MODE"
    with pytest.raises(CafxError, match=expected):
        Solver(options("solver_mode: GPU"), "s.prototxt")
    with Solver(options("solver_mode: CPU")):
        pass
    monkeypatch.setenv("CAFX_STRICT_MODE", "0")
    with Solver(options("solver_mode: GPU")):
        pass


def test_engine_of_mode_without_a_gpu_engine(no_gpu_engine: Registry) -> None:
    name, device, notice = engine_of_mode(options("solver_mode: GPU device_id: 1"), no_gpu_engine)
    assert (name, device) == (best_on_cpu(), 1)
    assert notice
    assert registry().install_line("cafx[cuda]") in notice


needs_no_gpu = pytest.mark.skipif(bool(available_engine(registry(), gpu=True)), reason="a GPU engine can run here")


@pytest.fixture
def cafx(folder: Path) -> Cafx:
    """Run ``cafx`` as a process and check its exit code."""

    def start(*arguments: str, code: int = 0, **settings: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "cafx.cli", *arguments]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", **settings}
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=LIMIT, check=False
        )
        assert done.returncode == code, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done

    return start


@pytest.mark.slow
@needs_no_gpu
def test_a_solver_file_of_others_trains_on_the_cpu(cafx: Cafx) -> None:
    command = ("train", "--solver", "solver.prototxt", "--set", "solver_mode=GPU", "--json")
    done = cafx(*command)
    assert json.loads(done.stdout)["engine"] == best_on_cpu()
    assert done.stderr.count("solver_mode: GPU: no GPU here (") == 1
    assert done.stderr.count("; training on the CPU") == 1
    assert "no GPU here" not in cafx(*command, CAFX_ENGINE="numpy").stderr
    assert "no GPU here" not in cafx(*command, "--engine", "numpy").stderr
    refused = cafx(*command, code=1, CAFX_STRICT_MODE="1").stderr
    assert json.loads(refused)["error"]["message"].startswith("solver.prototxt: solver_mode: GPU: no GPU here (")
    assert refused.count("\n") == 1


@pytest.mark.slow
@needs_no_gpu
def test_gpu_on_the_command_line_is_an_error_here(cafx: Cafx) -> None:
    for command in (("train", "--solver", "solver.prototxt"), ("time", "net.prototxt"), ("net", "net.prototxt")):
        error = cafx(*command, "--gpu", "0", code=1).stderr
        assert error.startswith("error: --gpu 0: cannot run on a GPU: ")
        assert error.count("\n") == 1
