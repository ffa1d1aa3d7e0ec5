"""Sizes in headers, batching, and images by URL."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx_command_serve.batching import Batcher, Full, NetFailed
from cafx_command_serve.fetching import Fetcher, is_public
from cafx_command_serve.limits import Limits, Refusal, header_size, read_pixels
from cafx_lib_feed.images import encode

HOST = "127.0.0.1"
DRIPS, PAUSE = 1500, 0.02


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".bmp"])
def test_headers_say_the_size(suffix: str) -> None:
    for height, width in ((7, 300), (513, 2)):
        data = encode(np.zeros((height, width, 3), np.uint8), suffix, "x")
        assert header_size(data) == (width, height)


@pytest.mark.slow
@given(
    st.binary(max_size=64),
    st.sampled_from([b"", b"\xff\xd8", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"RIFFxxxxWEBPVP8X"]),
)
@settings(deadline=None)
def test_any_bytes_are_an_image_or_refused(data: bytes, start: bytes) -> None:
    try:
        status = 200 if read_pixels(start + data, 3, Limits(pixels=1000)).ndim == 3 else 0
    except Refusal as refusal:
        status = refusal.status
    assert status in (200, 400, 413, 415)


def test_a_bomb_is_refused_by_its_header() -> None:
    png = bytearray(encode(np.zeros((2, 2, 3), np.uint8), ".png", "x"))
    png[16:24] = (100_000).to_bytes(4, "big") * 2
    with pytest.raises(Refusal, match="100000×100000 pixels") as refused:
        read_pixels(bytes(png), 3, Limits())
    assert refused.value.status == 413


class Slow:
    """A net that adds one, and remembers the sizes of its passes."""

    def __init__(self) -> None:
        self.sizes: list[int] = []

    def __call__(self, inputs: Any) -> list[Any]:
        self.sizes.append(len(inputs))
        time.sleep(0.01)
        if any(each < 0 for each in inputs):
            raise ValueError("negative")
        return [each + 1 for each in inputs]


def batched(values: list[list[float]], most: int = 4, limit: int = 100) -> tuple[list[Any], list[int]]:
    """The results of requests that all begin at once, and the sizes of the passes."""
    net = Slow()

    async def one(batcher: Batcher, inputs: list[float]) -> Any:
        with batcher.admitted() as admitted:
            admitted.expect(coming=True)
            await asyncio.sleep(0.001 * len(inputs))
            return [float(each) for each in await admitted.submit(np.array(inputs))]

    async def everything() -> list[Any]:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(net, pool, most=most, limit=limit, delay=0.02)
            work = asyncio.create_task(batcher.work())
            found = await asyncio.gather(*(one(batcher, inputs) for inputs in values), return_exceptions=True)
            assert batcher.active == 0
            work.cancel()
            return found

    return asyncio.run(everything()), net.sizes


@pytest.mark.slow
@given(st.lists(st.lists(st.floats(0, 9), min_size=1, max_size=3), min_size=1, max_size=9))
@settings(deadline=None, max_examples=25)
def test_everybody_gets_their_own_results(values: list[list[float]]) -> None:
    found, sizes = batched(values)
    assert found == [[each + 1 for each in inputs] for inputs in values]
    assert sum(sizes) == sum(map(len, values))


def test_requests_that_come_together_go_together() -> None:
    _, sizes = batched([[1.0]] * 8)
    assert sizes == [4, 4]
    _, alone = batched([[1.0]])
    assert alone == [1]


@pytest.mark.parametrize(("arrived", "sizes"), [(True, [2]), (False, [1, 1])])
def test_a_request_waits_for_images_that_have_arrived_alone(arrived: bool, sizes: list[int]) -> None:
    net = Slow()

    async def everything() -> None:
        with ThreadPoolExecutor(1) as pool:
            batcher = Batcher(net, pool, most=4, limit=9, delay=5.0)
            work = asyncio.create_task(batcher.work())
            with batcher.admitted() as first, batcher.admitted() as second:
                second.expect(coming=arrived)
                early = first.submit(np.ones(1))
                await asyncio.sleep(0.1)
                await asyncio.gather(early, second.submit(np.ones(1)))
            assert batcher.coming == 0
            work.cancel()

    asyncio.run(everything())
    assert net.sizes == sizes


def test_an_error_reaches_those_of_the_batch_and_the_rest_goes_on() -> None:
    found, _ = batched([[1.0], [-1.0], [2.0, 2.0, 2.0]], most=2)
    assert [(type(each), str(each)) for each in found[:2]] == [(NetFailed, "negative")] * 2
    assert found[2] == [3, 3, 3]


def test_more_than_the_limit_are_turned_away() -> None:
    found, _ = batched([[1.0]] * 5, limit=3)
    assert sum(isinstance(each, Full) for each in found) == 2


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1",
        "10.1.2.3",
        "172.16.0.1",
        "192.168.1.1",
        "169.254.169.254",
        "100.64.0.1",
        "0.0.0.0",
        "224.0.0.1",
        "255.255.255.255",
        "240.0.0.1",
        "::1",
        "::",
        "fe80::1%eth0",
        "fd00::1",
        "ff02::1",
        "::ffff:127.0.0.1",
        "64:ff9b::7f00:1",
        "2002:7f00:1::",
        "2001:db8::1",
        "not an address",
    ],
)
def test_addresses_of_this_machine_and_its_networks_are_not_public(address: str) -> None:
    assert not is_public(address)


@pytest.mark.parametrize("address", ["1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "64:ff9b::101:101"])
def test_addresses_of_the_internet_are_public(address: str) -> None:
    assert is_public(address)


@pytest.mark.parametrize(
    "url",
    [
        "http://127.0.0.1/",
        "http://localhost:5000/",
        "http://[::1]/",
        "http://0x7f000001/",
        "http://2130706433/",
        "http://127.1/",
        "file:///etc/passwd",
        "ftp://x/y",
        "gopher://x",
        "http://user@1.1.1.1/",
        "http://",
        "//x",
        "http://1.1.1.1:22/",
        "http://exa mple/",
        "http://x\r\nHost: y/",
        "http://[",
        "http://x:99999/",
        "http:\\\\x",
        "http://" + "a" * 3000,
        "http://" + "a" * 300 + "/",
        "http://ä/",
    ],
)
def test_urls_that_are_not_of_public_web_servers_are_refused(url: str) -> None:
    with pytest.raises(Refusal) as refused:
        Fetcher(1000, 5).fetch(url)
    assert refused.value.status == 400


def local(most: int = 1000, seconds: float = 5) -> Fetcher:
    """A fetcher from this machine only."""
    return Fetcher(most, seconds, lambda address, _: address == HOST)


def test_redirects_are_followed_a_few_times_and_checked(web: Callable[..., str]) -> None:
    answers: dict[str, Any] = {"/x": (200, {}, b"picture"), "/circle": (302, {"Location": "/circle"}, b"")}
    url = web(answers)
    answers["/r"] = (302, {"Location": f"{url}/x"}, b"")
    for status, (name, place) in enumerate([("metadata", "http://169.254.169.254/"), ("file", "file:///etc/passwd")]):
        answers[f"/{name}"] = (301 + status, {"Location": place}, b"")
    assert local().fetch(f"{url}/r") == b"picture"
    with pytest.raises(Refusal, match="more than 3 redirects"):
        local().fetch(f"{url}/circle")
    for name in ("metadata", "file"):
        with pytest.raises(Refusal) as refused:
            local().fetch(f"{url}/{name}")
        assert refused.value.status == 400


def test_a_name_with_one_private_address_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    def both(_: str, port: int, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (address, port)) for address in ("1.1.1.1", "10.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", both)
    with pytest.raises(Refusal, match="not a public web server"):
        Fetcher(1000, 5).fetch("http://rebinding.example/")


def drip(file: Any) -> None:
    """An answer that takes half a minute."""
    for _ in range(DRIPS):
        file.write(b".")
        file.flush()
        time.sleep(PAUSE)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ((404, {}, b""), "the server says 404"),
        ((200, {}, b"x" * 1001), "larger than 1,000 bytes"),
        ((200, {"Content-Length": "900"}, b"short"), "does not answer as one should"),
        ((200, {}, drip), "not within 0.3 seconds"),
    ],
)
def test_what_is_no_good_answer_is_told(answer: Any, message: str, web: Callable[..., str]) -> None:
    url = web({"/x": answer}) + "/x"
    begin = time.monotonic()
    with pytest.raises(Refusal, match=message) as refused:
        local(seconds=0.3).fetch(url)
    assert refused.value.status == 502
    assert time.monotonic() - begin < DRIPS * PAUSE, "it has waited for the end of the answer"


@pytest.mark.slow
@pytest.mark.parametrize("scheme", ["http", "https"])
def test_a_server_that_says_nothing_is_given_up(scheme: str) -> None:
    with socket.create_server((HOST, 0)) as silent, pytest.raises(Refusal, match="not within"):
        local(seconds=0.2).fetch(f"{scheme}://{HOST}:{silent.getsockname()[1]}/")
