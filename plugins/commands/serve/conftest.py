"""Nets to serve, servers on a free port, and requests to them."""

from __future__ import annotations

import contextlib
import http.client
import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from cafx.kernel import TEST, Net
from cafx_command_serve import server
from cafx_command_serve.app import Service, application
from cafx_command_serve.hedging import read_tree
from cafx_command_serve.model import Model
from cafx_lib_feed.images import encode
from cafx_lib_preprocessing import Preprocessing

COLOURS = """
name: "colours" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 6 dim: 6 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer { name: "fc" type: "InnerProduct" bottom: "pool" top: "fc" inner_product_param { num_output: 3 } }
layer { name: "prob" type: "Softmax" bottom: "fc" top: "prob" }
"""
REDS = """
name: "reds" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 16 dim: 16 } } }
layer { name: "pool" type: "Pooling" bottom: "data" top: "pool" pooling_param { pool: AVE kernel_size: 8 stride: 8 } }
layer { name: "loc" type: "Convolution" bottom: "pool" top: "loc" convolution_param { num_output: 4 kernel_size: 1 } }
layer { name: "locp" type: "Permute" bottom: "loc" top: "locp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "locf" type: "Flatten" bottom: "locp" top: "locf" }
layer { name: "conf" type: "Convolution" bottom: "pool" top: "conf" convolution_param { num_output: 2 kernel_size: 1 } }
layer { name: "confp" type: "Permute" bottom: "conf" top: "confp"
        permute_param { order: 0 order: 2 order: 3 order: 1 } }
layer { name: "confr" type: "Reshape" bottom: "confp" top: "confr" reshape_param { shape { dim: 0 dim: -1 dim: 2 } } }
layer { name: "confs" type: "Softmax" bottom: "confr" top: "confs" softmax_param { axis: 2 } }
layer { name: "conff" type: "Flatten" bottom: "confs" top: "conff" }
layer { name: "prior" type: "PriorBox" bottom: "pool" bottom: "data" top: "prior"
        prior_box_param { min_size: 8 variance: 0.1 variance: 0.1 variance: 0.2 variance: 0.2 } }
layer { name: "out" type: "DetectionOutput" bottom: "locf" bottom: "conff" bottom: "prior" top: "out"
        detection_output_param { num_classes: 2 nms_param { nms_threshold: 0.5 } code_type: CENTER_SIZE
                                 confidence_threshold: 0.6 } }
"""
LABELS = ("a <b>blue</b>", "a green", "a red")
TREE = "thing\t\t\ncold\tthing\tcold colour\na <b>blue</b>\tcold\ta\ngreenish\tcold\na green\tcold\na red\tthing\n"
HOST = "127.0.0.1"


def picture(colour: tuple[int, int, int], height: int = 8, width: int = 10, suffix: str = ".png") -> bytes:
    """An image file of one colour (BGR)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = colour
    return encode(image, suffix, "the test's")


RED = picture((0, 0, 255))


@attrs.frozen
class Answer:
    """A server's answer."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@attrs.frozen
class Client:
    """Requests to a server on this machine."""

    port: int

    def ask(
        self, path: str, body: bytes | None = None, kind: str = "image/png", method: str = "", **headers: str
    ) -> Answer:
        """One request; a POST if it has a body."""
        connection = http.client.HTTPConnection(HOST, self.port, timeout=30)
        try:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            sent = {**({"Content-Type": kind} if body is not None else {}), **named}
            connection.request(method or ("GET" if body is None else "POST"), path, body, sent)
            response = connection.getresponse()
            found = {name.lower(): value for name, value in response.getheaders()}
            return Answer(response.status, found, response.read())
        finally:
            connection.close()


@contextlib.contextmanager
def serving(service: Service) -> Iterator[Client]:
    """A server of this service, in another thread."""
    listening = server.listen(HOST, 0)
    port, ready = listening.getsockname()[1], threading.Event()
    running = server.make(application(service), ready.set)
    thread = threading.Thread(target=running.run, args=([listening],))
    thread.start()
    try:
        assert ready.wait(30)
        yield Client(port)
    finally:
        running.should_exit = True
        thread.join(30)
        listening.close()
    assert not thread.is_alive()


@pytest.fixture(scope="session")
def colours(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a net whose class is the strongest of blue, green and red."""
    folder = tmp_path_factory.mktemp("colours")
    (folder / "deploy.prototxt").write_text(COLOURS)
    with Net(folder / "deploy.prototxt", TEST, engine="numpy") as net:
        net.params["fc"][0].mutable_data[...] = np.eye(3) / 100
        net.save(folder / "w.caffemodel")
    (folder / "labels.txt").write_text("\n".join(LABELS))
    (folder / "tree.tsv").write_text(TREE)
    (folder / "red.png").write_bytes(RED)
    return folder


def net_of(folder: Path) -> Net:
    """The net in a folder, with its weights."""
    net = Net(folder / "deploy.prototxt", TEST, engine="numpy", keep="outputs")
    net.copy_from(folder / "w.caffemodel")
    return net


@pytest.fixture(scope="session")
def model(colours: Path) -> Iterator[Model]:
    """The net of colours, as it is served."""
    served = Model(lambda: net_of(colours), Preprocessing(labels=LABELS), most=4)
    yield served
    served.close()


@pytest.fixture
def serve(model: Model, colours: Path) -> Iterator[Callable[..., Client]]:
    """Starts servers of the net of colours, which end with the test."""
    with contextlib.ExitStack() as stack:

        def start(**settings: Any) -> Client:
            given = {"tree": read_tree(str(colours / "tree.tsv"), LABELS), **settings}
            return stack.enter_context(serving(Service(**{"model": model, **given})))

        yield start


@pytest.fixture(scope="session")
def reds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a small SSD, which detects red quarters of an image."""
    pytest.importorskip("cafx_layer_detectionoutput", reason="the layers of SSD are not installed")
    folder = tmp_path_factory.mktemp("reds")
    (folder / "deploy.prototxt").write_text(REDS)
    with Net(folder / "deploy.prototxt", TEST, engine="numpy") as net:
        net.params["loc"][0].mutable_data[...] = 0
        net.params["conf"][0].mutable_data[...] = np.array([[0.0, 0, -0.02], [0, 0, 0.02]]).reshape(2, 3, 1, 1)
        net.params["conf"][1].mutable_data[...] = [1, -1]
        net.save(folder / "w.caffemodel")
    return folder


@pytest.fixture
def detector(reds: Path) -> Iterator[Callable[[Preprocessing], Model]]:
    """Makes that net, as it is served, for a preprocessing."""
    with contextlib.ExitStack() as stack:

        def make(record: Preprocessing) -> Model:
            served = Model(lambda: net_of(reds), record, most=4)
            stack.callback(served.close)
            return served

        yield make


@pytest.fixture
def web() -> Iterator[Callable[..., str]]:
    """Starts web servers that give prepared answers: status, headers and body (or a function) by path."""
    import socketserver
    from http.server import BaseHTTPRequestHandler

    with contextlib.ExitStack() as stack:

        def start(answers: dict[str, Any]) -> str:
            class Handler(BaseHTTPRequestHandler):
                def do_GET(self) -> None:
                    status, headers, body = answers[self.path]
                    self.send_response(status)
                    for name, value in headers.items():
                        self.send_header(name, value)
                    self.end_headers()
                    with contextlib.suppress(OSError):
                        body(self.wfile) if callable(body) else self.wfile.write(body)

                def log_message(self, *_: Any) -> None:
                    pass

            running = socketserver.ThreadingTCPServer((HOST, 0), Handler)
            running.daemon_threads = True
            thread = threading.Thread(target=running.serve_forever, args=(0.05,))
            thread.start()
            stack.callback(running.server_close)
            stack.callback(thread.join)
            stack.callback(running.shutdown)
            return f"http://{HOST}:{running.server_address[1]}"

        yield start
