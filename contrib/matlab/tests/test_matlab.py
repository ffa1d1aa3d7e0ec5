"""The MATLAB interface, run by Octave; what only MATLAB does runs with stand-ins for its functions (``standins``)."""

from __future__ import annotations

import os
import pty
import re
import runpy
import select
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

MATLAB = Path(__file__).resolve().parents[1]
MNIST = MATLAB.parent / "examples/mnist"
SOURCES = sorted(MATLAB.rglob("*.m"))
OCTAVE = shutil.which("octave-cli")
OPTIONS = ["--norc", "--quiet", "--no-history"]
TIMEOUT = 120
ITERATIONS = 80
TRAIN_IMAGES, TEST_IMAGES = 64 * ITERATIONS, 1000
ACCURACY = 0.85
BEST = ["n02119789", "n02119022", "n02113023"]
"""What SqueezeNet takes the cat for, best first: two foxes and a corgi, by caffe.Classifier as well."""
SMALL = """
name: "small"
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }
"""
SOLVER = 'net: "small.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1000000000 snapshot_prefix: "small"'

Run = Callable[..., str]
needs_octave = pytest.mark.skipif(not OCTAVE, reason="no octave-cli: apt-get install --no-install-recommends octave")


def settings(**more: str) -> dict[str, str]:
    """The environment of Octave."""
    unset = ("CAFX_ENGINE", "CUDA_VISIBLE_DEVICES")
    kept = {name: value for name, value in os.environ.items() if name not in unset}
    return {**kept, "CAFX_PYTHON": sys.executable, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": "", **more}


@pytest.fixture
def run(tmp_path: Path) -> Run:
    """Run a script in Octave, in a folder with a net and a solver, and return what it prints."""
    (tmp_path / "small.prototxt").write_text(SMALL)
    (tmp_path / "solver.prototxt").write_text(SOLVER)

    def run_script(script: str, code: int = 0, **more: str) -> str:
        paths = [MATLAB, MATLAB / "demo", MATLAB / "tests/standins"]
        head = "".join(f"addpath('{path}');\n" for path in paths)
        (tmp_path / "main.m").write_text(head + script)
        done = subprocess.run(
            [str(OCTAVE), *OPTIONS, "main.m"],
            cwd=tmp_path, env=settings(**more), text=True, capture_output=True, timeout=TIMEOUT, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stdout + done.stderr
        assert "warning:" not in done.stderr, done.stderr
        return done.stdout

    return run_script


NO_CODE = re.compile(r"(?<=[\w)\]}.])'|(?P<text>'(?:[^'\n]|'')*')|%.*")
"""A transpose, a text, a comment."""
OCTAVE_ONLY = {
    "a double-quoted text": r'"',
    "a comment with #": r"#",
    "a special end": r"\bend(?!s)_?(?:if|for|function|while|switch|_try_catch|_unwind_protect|classdef|methods)\b",
    "unwind_protect": r"\bunwind_protect\b",
    "do ... until": r"\b(?:do|until)\b",
    "! for not": r"!",
    "an operator with assignment": r"[-+*/|&^]=",
    "++ or --": r"\+\+|--(?!\w)",
    "printf": r"(?<!\w)printf\b",
    "an index of a result": r"\)\(",
    "private functions": r"\bprivate\.",
}


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.stem)
def test_the_source_is_written_in_what_matlab_and_octave_have_in_common(path: Path) -> None:
    code = NO_CODE.sub(lambda match: "''" if match["text"] else "", path.read_text())
    found = {name for name, pattern in OCTAVE_ONLY.items() if re.search(pattern, code)}
    assert found == set()


def test_the_check_of_the_source_finds_what_is_not_common() -> None:
    assert all(re.search(OCTAVE_ONLY[name], text) for name, text in {
        "an index of a result": "f(1)(2)", "an operator with assignment": "a += 1", "a special end": "endif",
        "a double-quoted text": 'a = "b"', "do ... until": "until a", "++ or --": "a++", "! for not": "a != b",
    }.items())  # fmt: skip


def test_every_function_says_what_it_does() -> None:
    for path in SOURCES:
        first, second = path.read_text().splitlines()[:2]
        assert re.match(r"(function|classdef) ", first), path
        assert re.match(r"% \S", second), path


@pytest.mark.slow
@needs_octave
@pytest.mark.parametrize("kind", ["octave", "matlab"])
def test_the_interface_s_own_tests_pass(kind: str, run: Run) -> None:
    script = f"caffe.internal.transport('use', '{kind}'); failed = caffe.run_tests(); caffe.python('{sys.executable}');"
    lines = run(script, CAFX_ENGINE="numpy").splitlines()
    assert [line for line in lines if not line.startswith("ok ")] == [f"0 of {len(lines) - 1} tests failed"]
    assert len(lines) - 1 == len(re.findall(r"@caffe\.test\.", (MATLAB / "+caffe/run_tests.m").read_text()))


@pytest.mark.slow
@needs_octave
def test_squeezenet_classifies_an_image_as_pycaffe_does(run: Run, shared: Path, tmp_path: Path) -> None:
    import caffe

    folder = shared / "models/squeezenet_v1.0"
    model, weights = folder / "SqueezeNet_deploy.prototxt", folder / "decompressed_SqueezeNet.caffemodel"
    image, labels = shared / "images/cat.jpg", shared / "labels/synset_words.txt"
    printed = run(
        f"[scores, best] = classification_demo('{image}', '{model}', '{weights}', '{labels}');\n"
        f"net = caffe.Net('{model}', '{weights}', 'test');\n"
        "outputs = net.forward({single(reshape(mod(1:227*227*3, 251), [227, 227, 3])) - 125});\n"
        "handle = fopen('scores.bin', 'w'); fwrite(handle, outputs{1}, 'single'); fclose(handle);\n"
        "printf('%d\\n', best);\n"
    )
    lines = printed.splitlines()
    assert [line.split()[1] for line in lines[:3]] == BEST
    assert labels.read_text().splitlines()[int(lines[5]) - 1].startswith(BEST[0])
    net = caffe.Net(str(model), str(weights), caffe.TEST)
    crop = (np.arange(1, 1 + net.blobs["data"].count) % 251 - 125.0).reshape(net.blobs["data"].shape)
    expected = net.forward(data=crop)[net.outputs[0]]
    np.testing.assert_array_equal(np.fromfile(tmp_path / "scores.bin", np.float32), expected.ravel())


@pytest.fixture
def lenet(tmp_path: Path, shared: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MNIST's databases, shortened, and the solver of LeNet."""
    monkeypatch.setenv("CAFX_DATA", str(shared / "datasets/mnist"))
    data = runpy.run_path(str(MNIST / "mnist_data.py"))
    for phase, count in (("train", TRAIN_IMAGES), ("test", TEST_IMAGES)):
        images, labels = data["digits"](phase)
        data["write_database"](tmp_path / f"mnist_{phase}_lmdb", images[:count], labels[:count])
    for name in ("lenet_solver.prototxt", "lenet_train_test.prototxt"):
        shutil.copy(MNIST / name, tmp_path)


@pytest.mark.slow
@needs_octave
@pytest.mark.usefixtures("lenet")
def test_lenet_learns_step_by_step_as_in_pycaffe(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import caffe

    printed = run(
        f"[losses, accuracy] = train_lenet('lenet_solver.prototxt', {ITERATIONS});\n"
        "printf('%.9g ', losses, accuracy);\n",
        GLOG_minloglevel="1",
    )
    *losses, accuracy = map(float, printed.split())
    assert accuracy >= ACCURACY
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("GLOG_minloglevel", "1")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    solver = caffe.get_solver("lenet_solver.prototxt")
    for loss in losses[:5]:
        solver.step(1)
        assert np.float32(loss) == solver.net.blobs["loss"].data


@pytest.mark.slow
@needs_octave
def test_the_end_of_the_worker_is_an_error_and_not_the_end(run: Run) -> None:
    printed = run(
        "net = caffe.Net('small.prototxt', 'test');\n"
        "system(sprintf('pkill -KILL -P %d -f caffe.gateway', getpid()));\n"
        "try, net.forward_prefilled(); catch cause, disp(cause.identifier); disp(cause.message); end\n"
        "try, net.forward_prefilled(); catch cause, disp(cause.identifier); end\n"
        "net = caffe.Net('small.prototxt', 'test'); net.forward_prefilled(); disp('alive');\n"
        "clear all; net = caffe.Net('small.prototxt', 'test'); disp('alive');\n"
        "caffe.python('no_such_python');\n"
        "try, caffe.version(); catch cause, disp(cause.identifier); disp(cause.message); end\n"
        "caffe.python('/bin/false');\n"
        "try, caffe.version(); catch cause, disp(cause.message); end\n"
        f"caffe.python('{sys.executable}'); disp(caffe.version());\n"
        "caffe.Net('nowhere.prototxt', 'test');\n",
        code=1,
    ).splitlines()
    assert printed[:5] == [
        "caffe:worker",
        "the Python process has ended (signal 9); nets and solvers are gone with it. Create them again",
        "caffe:stale",
        "alive",
        "alive",
    ]
    assert printed[5] == "caffe:worker"
    assert "'no_such_python' cannot run nets (exit status 127). Choose a Python 3.11 or newer" in printed[6]
    assert "'/bin/false' cannot run nets (exit status 1)" in printed[7]
    assert printed[8:] == ["1.0.0"]


class Terminal:
    """Octave on a terminal."""

    def __init__(self, folder: Path) -> None:
        self.process, self._side = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execve(str(OCTAVE), [str(OCTAVE), *OPTIONS, "--no-line-editing"], settings(CAFX_ENGINE="numpy"))
        self.expect("octave:1> ")

    def say(self, line: str) -> None:
        """Type a line."""
        os.write(self._side, line.encode() + b"\n")

    def interrupt(self) -> None:
        """Type Ctrl-C."""
        os.write(self._side, b"\x03")

    def expect(self, text: str) -> str:
        """Read until a text appears; return what came before it."""
        seen, end = b"", time.monotonic() + TIMEOUT
        while text.encode() not in seen:
            assert time.monotonic() < end, seen.decode(errors="replace")
            if select.select([self._side], [], [], 1)[0]:
                seen += os.read(self._side, 4096)
        return seen.decode(errors="replace").partition(text)[0]

    def close(self) -> None:
        """End Octave and what it has started."""
        os.kill(self.process, signal.SIGKILL)
        os.waitpid(self.process, 0)
        os.close(self._side)


@pytest.fixture
def terminal(tmp_path: Path) -> Iterator[Terminal]:
    (tmp_path / "small.prototxt").write_text(SMALL)
    (tmp_path / "solver.prototxt").write_text(SOLVER + " snapshot: 1")
    terminal = Terminal(tmp_path)
    yield terminal
    terminal.close()


@pytest.mark.slow
@needs_octave
def test_ctrl_c_stops_training_and_keeps_the_solver(terminal: Terminal, tmp_path: Path) -> None:
    terminal.say(f"addpath('{MATLAB}'); caffe.version();")
    time.sleep(0.2)
    terminal.interrupt()  # while the worker starts
    terminal.expect("octave:2> ")
    terminal.say("solver = caffe.Solver('solver.prototxt'); solver.solve();")
    end = time.monotonic() + TIMEOUT
    while not list(tmp_path.glob("small_iter_*.solverstate")):
        assert time.monotonic() < end
        time.sleep(0.01)
    terminal.interrupt()
    terminal.expect("octave:3> ")
    terminal.say("before = solver.iter(); solver.step(3); done = solver.iter() - before, before > 0")
    answer = terminal.expect("octave:4> ")
    assert "done = 3" in answer
    assert "ans = 1" in answer
    terminal.say("solver.solve();")
    time.sleep(0.2)
    worker = _children(terminal.process)
    os.kill(terminal.process, signal.SIGKILL)
    while any(Path(f"/proc/{each}").exists() for each in worker):
        assert time.monotonic() < end, "the worker outlives Octave"
        time.sleep(0.05)


def _children(process: int) -> list[str]:
    children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    assert len(children) == 1
    return children
