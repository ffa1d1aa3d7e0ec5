"""The gateway for other languages: values as bytes, calls and their errors, and the worker process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from caffe.gateway import call, wire
from caffe.gateway.worker import BLOCK, LENGTH_BYTES, MARK_TEXT
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

NET = """
name: "net" force_backward: true
layer { name: "in" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 2 } }
"""
ENDLESS = 'net: "endless.prototxt" base_lr: 0.1 lr_policy: "fixed" max_iter: 1000000000 snapshot_prefix: "endless"'
TRAINED = """
layer { name: "in" type: "DummyData" top: "x" dummy_data_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }
layer { name: "loss" type: "EuclideanLoss" bottom: "x" bottom: "y" top: "loss" }
"""
TIMEOUT = 60

numeric = st.sampled_from([np.dtype(each) for each in wire.CLASSES])
shapes = arrays.array_shapes(min_dims=0, max_dims=6, min_side=0, max_side=4)
leaves = st.text() | arrays.arrays(numeric, shapes)
values = st.recursive(leaves, lambda inner: st.lists(inner, max_size=3), max_leaves=6)


def same(one: Any, other: Any) -> bool:
    """Whether two values are equal in type, class, shape and every bit."""
    if isinstance(one, list):
        return isinstance(other, list) and len(one) == len(other) and all(map(same, one, other))
    if isinstance(one, str):
        return isinstance(other, str) and one == other
    return (one.dtype, one.shape, one.tobytes()) == (other.dtype, other.shape, other.tobytes())


@given(values)
def test_values_are_the_same_after_a_round_trip(value: Any) -> None:
    assert same(value, wire.decode(wire.encode(value)))


def test_an_array_has_matlab_s_lengths_and_the_bytes_of_numpy() -> None:
    array = np.arange(6, dtype=np.float32).reshape(1, 2, 3)
    encoded = wire.encode(array)
    assert encoded[:3] == b"a\x01\x03"
    assert np.frombuffer(encoded[3:27], "<u8").tolist() == [3, 2, 1]
    assert encoded[27:] == array.tobytes()
    assert wire.encode(array.transpose(2, 1, 0).copy(order="F").T) == encoded


@given(values, st.data())
def test_bytes_that_are_no_value_are_refused(value: Any, data: st.DataObject) -> None:
    encoded = bytearray(wire.encode(value))
    cut = data.draw(st.integers(0, len(encoded) - 1))
    with pytest.raises(wire.MalformedError):
        wire.decode(bytes(encoded[:cut]))
    with pytest.raises(wire.MalformedError):
        wire.decode(bytes(encoded) + b"t")
    encoded[cut] ^= data.draw(st.integers(1, 255))
    try:
        wire.decode(bytes(encoded))
    except wire.MalformedError:
        return


@settings(max_examples=300)
@given(st.binary(max_size=64))
def test_a_request_of_any_bytes_is_answered(request: bytes) -> None:
    answer = wire.decode(call(request))
    assert answer[0] == "error"
    assert answer[1] in ("caffe:error", "caffe:python")


def test_an_array_that_says_it_is_huge_takes_no_memory() -> None:
    huge = b"a\x00\x03" + 3 * (2**40).to_bytes(8, "little")
    with pytest.raises(wire.MalformedError, match="bytes expected"):
        wire.decode(huge)
    nothing = b"a\x00\x03" + (0).to_bytes(8, "little") + 2 * (2**63).to_bytes(8, "little")
    with pytest.raises(wire.MalformedError, match="array of lengths"):
        wire.decode(nothing)
    with pytest.raises(wire.MalformedError, match="nested"):
        wire.decode(100 * b"l\x01\x00\x00\x00" + b"t\x00\x00\x00\x00")


@pytest.fixture
def ask(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[Any]]:
    """Make a request of the gateway, in the folder of ``net.prototxt``."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "net.prototxt").write_text(NET)

    def asked(name: str, *arguments: Any) -> list[Any]:
        answer = wire.decode(call(wire.encode([name, str(tmp_path), *arguments])))
        if answer[0] == "error":
            return answer
        assert answer[0] == "ok"
        return answer[1:]

    return asked


def test_a_net_is_described_and_run(ask: Callable[..., list[Any]]) -> None:
    (number, inputs, outputs, layers, types, blobs, counts) = ask("get_net", "net.prototxt", "test")[0]
    assert (inputs, outputs, layers, types) == (["x"], ["y"], ["in", "ip"], ["Input", "InnerProduct"])
    assert (blobs, counts.ravel().tolist()) == (["x", "y"], [0, 2])
    assert counts.shape == (2, 1), "a row vector"
    assert ask("blob_set", number, "ip", 1, "data", np.array([[1, 0, 0], [0, 1, 1]])) == []
    assert ask("net_forward", number, [np.array([[1.0, 2, 3], [4, 5, 6]])])[0][0].tolist() == [[1, 5], [4, 11]]
    assert ask("net_backward", number, [np.array([[1.0, 0], [0, 1]])])[0][0].tolist() == [[1, 0, 0], [0, 1, 1]]
    assert ask("blob_shape", number, "x", 0)[0].ravel().tolist() == [3, 2]


def test_a_layer_s_exception_is_an_answer(ask: Callable[..., list[Any]], tmp_path: Path) -> None:
    (tmp_path / "failing_layer_of_the_gateway.py").write_text(
        "import caffe\nclass Failing(caffe.Layer):\n    def setup(self, bottom, top):\n        raise SystemExit(3)\n"
    )
    (tmp_path / "python.prototxt").write_text(
        'layer { name: "p" type: "Python" top: "y" '
        'python_param { module: "failing_layer_of_the_gateway" layer: "Failing" } }'
    )
    answer = ask("get_net", "python.prototxt", "test")
    assert answer[0] == "error"
    assert "failing_layer_of_the_gateway.py:4" in answer[2]


def test_a_number_of_another_process_is_stale(ask: Callable[..., list[Any]]) -> None:
    number = ask("get_net", "net.prototxt", "test")[0][0]
    assert ask("net_reshape", number) == []
    assert ask("net_reshape", number + 1)[:2] == ["error", "caffe:stale"]
    assert ask("solver_iter", number)[:2] == ["error", "caffe:stale"]
    assert ask("reset_all") == []
    assert ask("net_reshape", number)[:2] == ["error", "caffe:stale"]


def test_control_characters_in_messages_are_escaped(ask: Callable[..., list[Any]]) -> None:
    message = ask("get_net", "a\x1b[2J.prototxt", "test")[2]
    assert "\x1b" not in message
    assert "\\x1b" in message


class Client:
    """A client of a worker process."""

    def __init__(self, folder: Path) -> None:
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "CAFX_ENGINE": "numpy", "GLOG_minloglevel": "1"}
        self.folder = folder
        self.process = subprocess.Popen(
            [sys.executable, "-P", "-m", "caffe.gateway"],
            cwd=folder,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self.greeting = self.receive()

    def send(self, name: str, *arguments: Any) -> None:
        """Send a request."""
        request = wire.encode([name, str(self.folder), *arguments])
        self.write(len(request).to_bytes(LENGTH_BYTES, "little") + request)

    def write(self, data: bytes) -> None:
        """Write bytes."""
        assert self.process.stdin
        self.process.stdin.write(data)
        self.process.stdin.flush()

    def read(self, count: int) -> bytes:
        """Read so many bytes."""
        assert self.process.stdout
        return self.process.stdout.read(count)

    def receive(self) -> list[Any]:
        """Read an answer."""
        answer: list[Any] = wire.decode(self.read(int.from_bytes(self.read(LENGTH_BYTES), "little")))
        return answer

    def ask(self, name: str, *arguments: Any) -> list[Any]:
        """Send a request and read the answer."""
        self.send(name, *arguments)
        return self.receive()

    def resynchronise(self) -> bytes:
        """Send the signal, and read to the end of the mark; return what came before it."""
        self.process.send_signal(signal.SIGUSR1)
        data = b""
        while MARK_TEXT not in data:
            data += self.read(BLOCK)
        before, _, after = data.partition(MARK_TEXT)
        assert self.read(BLOCK - len(after)) + after == bytes(BLOCK)
        return before

    def train(self) -> None:
        """Start training without end, and wait until it has begun."""
        (self.folder / "endless.prototxt").write_text(TRAINED)
        (self.folder / "solver.prototxt").write_text(ENDLESS + " snapshot: 1")
        self.solver = self.ask("get_solver", "solver.prototxt")[1]
        self.send("solver_solve", self.solver)
        self.wait_for(lambda: list(self.folder.glob("endless_iter_*.solverstate")))

    def wait_for(self, condition: Callable[[], Any]) -> None:
        """Wait until a condition holds."""
        end = time.monotonic() + TIMEOUT
        while not condition():
            assert time.monotonic() < end
            time.sleep(0.01)


@pytest.fixture
def client(tmp_path: Path) -> Iterator[Client]:
    (tmp_path / "net.prototxt").write_text(NET)
    client = Client(tmp_path)
    with client.process as process:
        yield client
        process.kill()


@pytest.mark.slow
def test_a_worker_answers_until_its_input_is_closed(client: Client) -> None:
    assert client.greeting == ["ok", "1.0.0"]
    array = np.arange(300_000.0).reshape(100, 3000)
    assert same(client.ask("echo", array), ["ok", array])
    client.process.send_signal(signal.SIGINT)
    assert client.ask("version") == ["ok", "1.0.0"], "an interrupt between calls is ignored"
    assert client.process.stdin
    client.process.stdin.close()
    assert client.process.wait(TIMEOUT) == 0


@pytest.mark.slow
def test_an_interrupted_solver_can_be_used_further(client: Client) -> None:
    client.train()
    client.process.send_signal(signal.SIGINT)
    status, identifier, message = client.receive()
    assert (status, identifier) == ("error", "caffe:interrupted")
    iteration = int(client.ask("solver_iter", client.solver)[1])
    assert message == f"interrupted after iteration {iteration}"
    assert client.ask("solver_step", client.solver, 2.0) == ["ok"]
    assert client.ask("solver_iter", client.solver)[1] == iteration + 2


@pytest.mark.slow
def test_a_worker_discards_messages_that_an_interrupt_has_cut(client: Client) -> None:
    net = client.ask("get_net", "net.prototxt", "test")[1][0]
    client.write((1000).to_bytes(LENGTH_BYTES, "little") + b"half of a request")
    assert client.resynchronise() == b""
    client.send("echo", np.zeros(1_000_000))
    head = client.read(100)
    assert len(head) + len(client.resynchronise()) < 1_000_000, "the rest of the answer is not sent"
    client.train()
    client.resynchronise()
    assert client.ask("blob_shape", net, "x", 0)[0] == "ok", "the net has survived"


@pytest.mark.slow
def test_a_worker_ends_with_its_client_in_the_middle_of_a_call(client: Client) -> None:
    client.train()
    assert client.process.stdin
    client.process.stdin.close()
    client.process.stdout.close()
    assert client.process.wait(TIMEOUT) == 0


@pytest.mark.slow
def test_what_a_layer_prints_is_not_in_the_messages(client: Client, tmp_path: Path) -> None:
    (tmp_path / "printing_layer_of_the_gateway.py").write_text(
        "import caffe, os\nclass Printing(caffe.Layer):\n"
        "    def setup(self, bottom, top):\n        print('noise', flush=True)\n        os.write(1, b'noise')\n"
        "    def reshape(self, bottom, top):\n        top[0].reshape(1)\n"
    )
    (tmp_path / "python.prototxt").write_text(
        'layer { name: "p" type: "Python" top: "y" '
        'python_param { module: "printing_layer_of_the_gateway" layer: "Printing" } }'
    )
    assert client.ask("get_net", "python.prototxt", "test")[1][2] == ["y"]
