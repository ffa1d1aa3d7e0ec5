"""Type stubs: complete, up to date, and understood by type checkers and editors."""

from __future__ import annotations

import ast
import inspect
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

import cafx.dsl
from cafx.conformance.catalogue import of_caffe
from cafx.dsl import layers
from cafx.kernel import registry
from cafx.kernel.registry import using_registry
from cafx_command_stubs.rendering import stub_modules
from cafx_command_stubs.writing import outdated, write

SHIPPED = Path(cafx.dsl.__file__).parent
RIGHT = """
from cafx.dsl import NetSpec, SolverSpec, layers as L, params as P

n = NetSpec("typed")
data, label = L.Data(source="train_lmdb", backend=P.Data.LMDB, batch_size=64, ntop=2)
n.conv = L.Convolution(
    data, num_output=20, kernel_size=5, weight_filler=dict(type="xavier"), param=[dict(lr_mult=1), dict(lr_mult=2)]
)
n.pool = L.Pooling(n.conv, pool="MAX", kernel_size=2, stride=2)
n.relu = L.ReLU(n.pool, in_place=True)
n.shaped = L.Input(shape=[1, 3, 8, 8])
n.loss = L.SoftmaxWithLoss(n.relu, label, include={"phase": 0}, loss_weight=0.5)
n.silence = L.Silence(data, ntop=0)
solver = SolverSpec(net=n, base_lr=0.01, lr_policy="step", stepvalue=[1, 2], gamma=0.1, max_iter=100)
solver.momentum = 0.9
"""
WRONG = {
    "L.Convolution(data, num_outputs=20, kernel_size=5)": "num_outputs",
    'L.Pooling(data, pool="AVG", kernel_size=2)': "pool",
    'L.Convolution(data, num_output="twenty", kernel_size=5)': "num_output",
    "SolverSpec(net=n, base_lrr=0.01)": "base_lrr",
    "L.Convolutoin(data, num_output=3)": "Convolutoin",
    "first, second, third = L.Data(source='x', batch_size=1, ntop=2)": "ntop",
}


def check_types(command: list[str], program: str, tmp_path: Path) -> str:
    """What a type checker says of a program."""
    (tmp_path / "program.py").write_text(program)
    environment = {**os.environ, "PYTHONPATH": ""}
    done = subprocess.run(
        [sys.executable, "-m", *command, "program.py"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    return done.stdout + done.stderr


def wrong_lines() -> tuple[str, dict[int, str]]:
    """A program with one mistake per line, and the word that each line's error must have."""
    text = RIGHT + "".join(f"{line}\n" for line in WRONG)
    first = RIGHT.count("\n") + 1
    return text, dict(enumerate(WRONG, first))


@pytest.mark.slow
def test_the_shipped_stubs_are_those_of_caffe_s_plugins() -> None:
    with using_registry(of_caffe()):
        assert outdated(SHIPPED, whole=False) == [], "run: uv run python .ci/stubs.py"


@pytest.mark.slow
def test_every_installed_layer_has_a_function_with_its_keywords() -> None:
    (methods,) = (each for each in ast.parse(stub_modules()["_layers"]).body if isinstance(each, ast.ClassDef))
    functions = {each.name: each for each in methods.body if isinstance(each, ast.FunctionDef)}
    assert set(functions) == {name for name in registry().names("layer") if name.isidentifier()}
    for name, function in functions.items():
        written = {each.arg for each in (*function.args.kwonlyargs, function.args.kwarg) if each}
        assert written == set(inspect.signature(getattr(layers, name)).parameters) - {"bottoms"}, name
        documented = [ast.get_docstring(each) for each in methods.body if getattr(each, "name", "") == name]
        assert any(documented), name


def test_all_stubs_are_valid_python() -> None:
    for text in stub_modules().values():
        compile(text, "stub", "exec")


@pytest.mark.slow
def test_a_folder_is_complete_and_rewritten_alike(tmp_path: Path) -> None:
    count = write(tmp_path, whole=True)
    assert count == len(registry().usable("layer"))
    names = {path.stem for path in (tmp_path / "cafx/dsl").iterdir()}
    assert {path.stem for path in SHIPPED.glob("*.py")} | {"_layers", "_params", "_messages", "_solver"} == names
    assert outdated(tmp_path, whole=True) == []
    (tmp_path / "cafx/dsl/_layers.pyi").write_text("")
    assert [path.name for path in outdated(tmp_path, whole=True)] == ["_layers.pyi"]


@pytest.mark.slow
def test_a_checkout_is_not_updated_in_place() -> None:
    command = [sys.executable, "-m", "cafx.cli", "stubs", "--in-place"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False)
    assert done.returncode == 1
    assert "installed from a checkout" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["shipped", "typings"])
def test_mypy_accepts_what_is_right_and_flags_what_is_wrong(tmp_path: Path, folder: str) -> None:
    if folder == "typings":
        write(tmp_path / "typings", whole=True)
    settings = "[mypy]\ncheck_untyped_defs = true\n" + ("mypy_path = typings\n" if folder == "typings" else "")
    (tmp_path / "mypy.ini").write_text(settings)
    command = ["mypy", "--follow-imports=silent", "--cache-dir=cache"]
    assert "no issues found" in check_types(command, RIGHT, tmp_path)
    text, lines = wrong_lines()
    said = check_types(command, text, tmp_path)
    assert {number for number in lines if f"program.py:{number}: error" in said} == set(lines), said


@pytest.mark.slow
@pytest.mark.parametrize("folder", ["shipped", "typings"])
def test_pyright_accepts_what_is_right_and_flags_what_is_wrong(tmp_path: Path, folder: str) -> None:
    pytest.importorskip("basedpyright")
    if folder == "typings":
        write(tmp_path / "typings", whole=True)
    (tmp_path / "pyrightconfig.json").write_text('{"typeCheckingMode": "standard"}')
    command = ["basedpyright", "--outputjson", "--pythonpath", sys.executable]
    right = json.loads(check_types(command, RIGHT, tmp_path))
    assert right["generalDiagnostics"] == []
    text, lines = wrong_lines()
    wrong = json.loads(check_types(command, text, tmp_path))["generalDiagnostics"]
    assert {each["range"]["start"]["line"] + 1 for each in wrong} == set(lines), wrong


@pytest.mark.slow
@pytest.mark.parametrize(
    ("written", "completed"), [("L.Conv", "Convolution"), ("L.Convolution(num_o", "num_output="), ("P.Poo", "Pooling")]
)
def test_jedi_completes_layers_and_their_keywords(
    written: str, completed: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    jedi = pytest.importorskip("jedi")
    # Two processes that share jedi's cache read half-written files of each other.
    monkeypatch.setattr(jedi.settings, "cache_directory", tmp_path)
    program = f"from cafx.dsl import layers as L, params as P\n{written}"
    names = [each.name for each in jedi.Script(program).complete()]
    assert completed in names
