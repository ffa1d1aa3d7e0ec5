"""Requests to a real server: answers, limits, refusals, headers."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.kernel import TEST, Net
from cafx_command_serve import server
from cafx_command_serve.fetching import Fetcher
from cafx_command_serve.limits import Limits
from cafx_command_serve.model import Model
from cafx_lib_feed.images import encode
from cafx_lib_preprocessing import Preprocessing

HOST = "127.0.0.1"
LABELS = ("a <b>blue</b>", "a green", "a red")
Start = Callable[..., Any]
EXPECTED = np.exp([0, 0, 2.55]) / np.exp([0, 0, 2.55]).sum()


def picture(colour: tuple[int, int, int], height: int = 8, width: int = 10, suffix: str = ".png") -> bytes:
    """An image file of one colour (BGR)."""
    image = np.zeros((height, width, 3), np.uint8)
    image[:] = colour
    return encode(image, suffix, "the test's")


RED = picture((0, 0, 255))
ENTRY = b"\x01\x12\0\x03\0\0\0\x01\0\x06\0\0"
"""EXIF's orientation 6: to be turned by 90° clockwise."""
EXIF_TURNED = b"\xff\xe1\x00\x22Exif\0\0MM\0*\0\0\0\x08\0\x01" + ENTRY + bytes(4)


@pytest.mark.slow
def test_an_image_is_classified_and_hedged(serve: Start) -> None:
    answer = serve().ask("/classify", picture((0, 0, 255), 6, 6)).json
    assert [each["label"] for each in answer["top"]] == [LABELS[2], LABELS[0], LABELS[1]]
    np.testing.assert_allclose([each["score"] for each in answer["top"]], EXPECTED[[2, 0, 1]], rtol=1e-5)
    assert {each["name"]: round(each["probability"], 4) for each in answer["hedged"]}["thing"] == 1
    assert answer["hedged"][0]["node"] == LABELS[2]
    assert answer["image"] == {"height": 6, "width": 6}
    assert answer["preprocessing"] == "resized to 6×6 (antialias), BGR from 0 to 255, no mean"
    assert answer["seconds"] > 0


@pytest.mark.slow
def test_a_form_and_the_number_of_answers_are_understood(serve: Start) -> None:
    client = serve()
    form = b'--x\r\nContent-Disposition: form-data; name="image"; filename="r.png"\r\n\r\n' + RED + b"\r\n--x--\r\n"
    answer = client.ask("/classify?top=1", form, "multipart/form-data; boundary=x")
    assert [each["class"] for each in answer.json["top"]] == [2]
    broken = client.ask("/classify", b"--x\r\nnothing", "multipart/form-data; boundary=x")
    assert (broken.status, "form" in broken.json["error"]) == (400, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("path", "body", "kind", "status", "message"),
    [
        ("/classify", b"", "image/png", 400, "no image"),
        ("/classify", b"<svg/>", "image/svg+xml", 415, "JPEG, PNG"),
        ("/classify", RED[:60], "image/png", 400, "damaged"),
        ("/classify", picture((0, 0, 0), 200, 60), "image/png", 413, "60×200 pixels: at most 10,000"),
        ("/classify", bytes(200_000), "image/png", 413, "at most 100,000 bytes"),
        ("/classify?top=0", RED, "image/png", 400, "top is not a number from 1 to 100"),
        ("/classify?top=9e9", RED, "image/png", 400, "top is not a number"),
        ("/detect", RED, "image/png", 404, "POST /classify"),
        ("/classify", b'{"url": "http://x"}', "application/json", 403, "switched off"),
        ("/classify", b"[" * 50_000, "application/json", 400, "not JSON"),
        ("/classify", b"\xff\xfe{", "application/json", 400, "not JSON"),
    ],
)
def test_what_cannot_be_answered_is_refused(
    path: str, body: bytes, kind: str, status: int, message: str, serve: Start
) -> None:
    answer = serve(limits=Limits(body=100_000, pixels=10_000)).ask(path, body, kind)
    assert answer.status == status
    assert message in answer.json["error"]


@pytest.mark.slow
def test_a_photo_is_turned_as_its_exif_data_says(serve: Start) -> None:
    photo = picture((0, 0, 255), 40, 20, ".jpg")
    answer = serve().ask("/classify", photo[:2] + EXIF_TURNED + photo[2:], "image/jpeg").json
    assert answer["image"] == {"height": 20, "width": 40}


def test_grey_images_and_other_formats_are_read(serve: Start) -> None:
    client = serve()
    for suffix in (".jpg", ".png", ".webp", ".bmp"):
        assert client.ask("/classify", picture((0, 0, 255), suffix=suffix), "").json["top"][0]["class"] == 2


def test_requests_of_many_clients_share_passes_and_get_their_own_answers(serve: Start, model: Model) -> None:
    client = serve(delay=0.05)
    images = [picture(colour) for colour in ((255, 0, 0), (0, 255, 0), (0, 0, 255))]
    with ThreadPoolExecutor(12) as pool:
        found = list(pool.map(lambda n: client.ask("/classify", images[n % 3]).json["top"][0]["class"], range(48)))
    assert found == [n % 3 for n in range(48)]
    lines = client.ask("/metrics").body.decode().splitlines()
    values = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    assert values['cafx_requests_total{path="/classify",status="200"}'] == "48"
    assert values["cafx_request_seconds_count"] == "48"
    assert float(values["cafx_batch_images_sum"]) == 48
    assert float(values["cafx_batch_images_count"]) < 48
    assert values["cafx_requests_active"] == "0"


def test_too_many_requests_are_told_to_come_back(serve: Start, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    go, plain = threading.Event(), model.run

    def slow(inputs: Any) -> Any:
        assert go.wait(30)
        return plain(inputs)

    monkeypatch.setattr(model, "run", slow)
    client = serve(limits=Limits(waiting=2))
    with ThreadPoolExecutor(2) as pool:
        waiting = [pool.submit(client.ask, "/classify", RED) for _ in range(2)]
        while client.ask("/health").json["active"] < 2:
            time.sleep(0.01)
        refused = client.ask("/classify", RED)
        go.set()
        assert [each.result().status for each in waiting] == [200, 200]
    assert (refused.status, refused.headers["retry-after"]) == (503, "1")
    assert client.ask("/classify", RED).status == 200


def test_a_net_that_fails_is_told_and_the_server_goes_on(
    serve: Start, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    client, plain = serve(), model.run
    with monkeypatch.context() as patched:
        patched.setattr(model, "_forward", lambda size, _: np.full((size, 3), np.nan))
        answer = client.ask("/classify", RED)
    assert (answer.status, answer.json["error"]) == (500, "the net's scores are not finite")
    with monkeypatch.context() as patched:
        patched.setattr(model, "_forward", lambda *_: 1 / 0)
        answer = client.ask("/classify", RED)
    assert (answer.status, answer.json["error"]) == (500, "the net failed: division by zero")
    assert client.ask("/classify", RED).status == 200
    assert plain == model.run


@pytest.mark.slow
def test_a_body_that_does_not_arrive_is_given_up(serve: Start) -> None:
    client = serve(limits=Limits(seconds=0.2))
    with socket.create_connection((HOST, client.port), timeout=30) as slow:
        slow.sendall(b"POST /classify HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nbegin")
        assert b" 408 " in slow.recv(4096).split(b"\r\n")[0]


@pytest.mark.slow
def test_a_header_that_does_not_arrive_ends_the_connection(serve: Start, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(server.PatientProtocol, "seconds", 0.2)
    client = serve()
    with socket.create_connection((HOST, client.port), timeout=30) as slow:
        slow.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert slow.recv(4096) == b""
    with socket.create_connection((HOST, client.port), timeout=30) as again:
        again.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in again.recv(4096).split(b"\r\n")[0]
        again.sendall(b"GET /hea")
        while data := again.recv(4096):
            assert data
    assert client.ask("/health").status == 200


@pytest.mark.slow
def test_the_page_may_load_nothing_but_itself(serve: Start) -> None:
    client = serve()
    answer = client.ask("/")
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy
    assert b"http://" not in answer.body
    assert b"style=" not in answer.body
    assert b"onclick" not in answer.body
    assert LABELS[0].encode() not in answer.body
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert client.ask("/model").json["hedges"] is True


@pytest.mark.slow
def test_pages_of_other_sites_may_not_use_the_server(serve: Start) -> None:
    client = serve(hosts=("127.0.0.1", "localhost"))
    assert client.ask("/classify", RED, Sec_Fetch_Site="cross-site").status == 403
    assert client.ask("/classify", RED, Sec_Fetch_Site="same-origin").status == 200
    assert client.ask("/model", Host="evil.example").status == 400


@pytest.mark.slow
def test_the_interface_is_described(serve: Start) -> None:
    client = serve()
    described = client.ask("/openapi.json").json
    assert described["openapi"].startswith("3.")
    answer = client.ask("/classify", RED).json
    schema = described["paths"]["/classify"]["post"]["responses"]["200"]["content"]["application/json"]["schema"]
    assert set(schema["properties"]) == set(answer)
    assert set(schema["properties"]["top"]["items"]["required"]) == set(answer["top"][0])
    assert set(schema["properties"]["hedged"]["items"]["required"]) == set(answer["hedged"][0])


@pytest.mark.slow
def test_an_image_is_fetched_by_url_and_shown_small(serve: Start, web: Callable[..., str]) -> None:
    url = web({"/r.png": (200, {}, RED)})
    client = serve(fetcher=Fetcher(10_000, 5, lambda address, _: address == HOST))
    answer = client.ask("/classify", json.dumps({"url": f"{url}/r.png"}).encode(), "application/json").json
    assert answer["top"][0]["class"] == 2
    assert answer["preview"].startswith("data:image/jpeg;base64,")


@pytest.mark.slow
def test_the_model_of_a_real_file_gives_the_scores_of_the_command(serve: Start, shared: Path) -> None:
    folder = shared / "models/squeezenet_v1.0"
    files = [str(folder / "SqueezeNet_deploy.prototxt"), str(folder / "decompressed_SqueezeNet.caffemodel")]

    def build() -> Net:
        net = Net(files[0], TEST, keep="outputs")
        net.copy_from(files[1])
        return net

    images = sorted((shared / "images").glob("*.jpg"))
    command = [sys.executable, "-m", "cafx.cli", "classify", files[0], *map(str, images), "-w", files[1], "--json"]
    result = subprocess.run(
        [*command, "--mean", "104,117,123"], text=True, capture_output=True, timeout=120, check=True
    )
    record = Preprocessing(mean=(104, 117, 123), labels=str(shared / "labels/synset_words.txt"))
    client = serve(model=Model(build, record, most=2), tree=None)
    for image, row in zip(images, json.loads(result.stdout), strict=True):
        found = client.ask("/classify", image.read_bytes(), "image/jpeg").json["top"]
        assert [each["class"] for each in found] == [each["class"] for each in row["top"]]
        expected = [each["score"] for each in row["top"]]
        np.testing.assert_allclose([each["score"] for each in found], expected, rtol=1e-5)


def test_batches_that_are_not_worth_it_are_not_made(colours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rates = {1: 100.0, 2: 150.0, 4: 151.0, 8: 300.0, 16: 200.0}
    monkeypatch.setattr(Model, "_rate", lambda _, size: rates.get(size, 120.0))

    def build() -> Net:
        return Net(colours / "deploy.prototxt", TEST, engine="numpy", keep="outputs")

    model = Model(build, Preprocessing())
    assert (list(model.nets), model.rates) == ([1, 2, 4, 8], rates)
    assert model.sizes == [0, 1, 2, 1, 4, 8, 8, 8, 8]
    plain = Model(build, Preprocessing(), most=6)
    assert (list(plain.nets), plain.sizes, plain.longest) == ([1, 2, 4, 6], [0, 1, 2, 4, 4, 6, 6], 6 / 120)
    inputs = np.random.default_rng(0).random((17, 3, 6, 6), dtype=np.float32)
    for each in (plain, model):
        np.testing.assert_allclose(each.run(inputs), [each.run(inputs[n : n + 1])[0] for n in range(17)], rtol=1e-6)
        each.close()
