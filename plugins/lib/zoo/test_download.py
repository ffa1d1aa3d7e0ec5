"""Downloads from servers that behave and that do not."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cafx.kernel import CafxError
from cafx_lib_zoo import Stated
from cafx_lib_zoo.download import fetch
from cafx_lib_zoo.testing import FAST, Site, redirected, running, send, trickling, truncated
from cafx_lib_zoo.web import Web

DATA = bytes(range(256)) * 12_000
OTHER = DATA[::-1]
STATED = Stated(len(DATA), hashlib.sha256(DATA).hexdigest())
NAME = "/m/weights.caffemodel"


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as found:
        found.files[NAME] = DATA
        yield found


def got(site: Site, part: Path, stated: Stated = STATED, limits: Any = FAST, local: bool = True) -> str:
    return fetch("weights", stated, [site.address + NAME], part, Web(limits, local))


def refused(site: Site, part: Path, match: str, stated: Stated = STATED, **options: Any) -> str:
    with pytest.raises(CafxError, match=match) as caught:
        got(site, part, stated, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.fixture
def part(tmp_path: Path) -> Path:
    return tmp_path / "x.part"


def test_a_file_is_downloaded_and_verified(site: Site, part: Path) -> None:
    assert got(site, part) == STATED.sha256
    assert part.read_bytes() == DATA
    assert {key.lower() for key in site.headers[0]} <= {"host", "user-agent", "accept-encoding", "connection"}


@pytest.mark.parametrize("have", [1, 1000, len(DATA) - 1, len(DATA)])
def test_only_what_is_missing_is_asked_for(have: int, site: Site, part: Path) -> None:
    part.write_bytes(DATA[:have])
    got(site, part)
    assert part.read_bytes() == DATA
    assert site.requests == ([(NAME, f"bytes={have}-")] if have < len(DATA) else [])


def test_a_server_that_ignores_ranges_sends_all_again(site: Site, part: Path) -> None:
    part.write_bytes(b"x" * 1000)
    site.special[NAME] = lambda handler: send(handler, DATA)
    got(site, part)
    assert part.read_bytes() == DATA
    assert site.requests == [(NAME, "bytes=1000-")]


def test_a_connection_that_ends_early_is_continued(site: Site, part: Path) -> None:
    site.special[NAME] = truncated(DATA, len(DATA) * 2 // 5)
    got(site, part)
    assert part.read_bytes() == DATA
    assert [wanted for _, wanted in site.requests] == [None, "bytes=1228800-", "bytes=2457600-"]


def test_a_server_that_never_sends_the_end_is_given_up_and_the_part_is_kept(site: Site, part: Path) -> None:
    site.special[NAME] = truncated(DATA, 1000)
    message = refused(site, part, "ends after 3,000 of 3,072,000 bytes")
    assert "continue" in message
    assert part.read_bytes() == DATA[:3000]
    del site.special[NAME]
    got(site, part)
    assert site.requests[-1] == (NAME, "bytes=3000-")


def test_a_file_that_was_swapped_between_connections_is_read_once_more(site: Site, part: Path) -> None:
    part.write_bytes(OTHER[:1000])
    got(site, part)
    assert part.read_bytes() == DATA
    assert site.requests == [(NAME, "bytes=1000-"), (NAME, None)]


@pytest.mark.parametrize("have", [0, 1000, len(DATA)])
def test_a_swapped_file_is_refused_and_removed(have: int, site: Site, part: Path) -> None:
    part.write_bytes(OTHER[:have])
    site.files[NAME] = OTHER
    refused(site, part, "is not the file that the card states: got sha256")
    assert not part.exists()


def test_a_legacy_digest_is_verified_too(site: Site, part: Path) -> None:
    stated = Stated(sha1=hashlib.sha1(DATA, usedforsecurity=False).hexdigest())
    assert got(site, part, stated) == STATED.sha256
    part.unlink()
    site.files[NAME] = OTHER
    refused(site, part, "got sha1", stated)


@pytest.mark.parametrize("length", [len(DATA) + 1, len(DATA) - 1, 10**15, 10**30])
def test_another_size_is_refused_before_anything_is_read(length: int, site: Site, part: Path) -> None:
    def lie(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(length))
        handler.end_headers()
        handler.wfile.write(DATA + b"more")

    site.special[NAME] = lie
    if length < 10**20:
        refused(site, part, rf"is not the file that the card states: got {length:,} bytes, expected 3,072,000")
        assert not part.exists()
    else:
        refused(site, part, "got more than that")


def test_no_more_than_the_stated_size_is_read(site: Site, part: Path) -> None:
    sent = 0

    def endless(handler: Any) -> None:
        nonlocal sent
        handler.send_response(200)
        handler.end_headers()
        while True:
            handler.wfile.write(b"x" * 65536)
            sent += 65536

    site.special[NAME] = endless
    refused(site, part, "got more than that, expected 3,072,000 bytes")
    assert part.stat().st_size <= len(DATA)
    unknown = Stated(sha256=STATED.sha256)
    part.unlink()
    refused(site, part, "expected 1,000,000 bytes", unknown, limits=attrs.evolve(FAST, largest=1_000_000))


def test_a_file_over_the_limit_is_refused_before_it_is_asked_for(site: Site, part: Path) -> None:
    limits = attrs.evolve(FAST, largest=1000)
    refused(site, part, "is too large: got 3,072,000 bytes, expected at most 1,000; .*--max-size", limits=limits)
    assert site.requests == []
    refused(site, part, "is too large", Stated(sha256=STATED.sha256), limits=limits)
    assert not part.exists()
    refused(site, part, "does not fit on the disk", Stated(1 << 50), limits=attrs.evolve(FAST, largest=1 << 60))


RANGES = ["bytes 5-3071999/3072000", "bytes 0-10/3072000", "lines 1000-2000/3", "", "bytes 1000-9/" + "9" * 40]


@pytest.mark.parametrize("stated", RANGES)
def test_a_wrong_range_starts_the_file_over(stated: str, site: Site, part: Path) -> None:
    def lie(handler: Any) -> None:
        if handler.headers.get("Range") is None:
            send(handler, DATA)
            return
        handler.send_response(206)
        handler.send_header("Content-Range", stated)
        handler.send_header("Content-Length", "11")
        handler.end_headers()
        handler.wfile.write(b"y" * 11)

    site.special[NAME] = lie
    part.write_bytes(DATA[:1000])
    got(site, part)
    assert part.read_bytes() == DATA


def test_a_part_that_is_longer_than_the_file_is_thrown_away(site: Site, part: Path) -> None:
    part.write_bytes(DATA + b"x")
    got(site, part)
    assert part.read_bytes() == DATA
    part.write_bytes(DATA + b"x")
    got(site, part, Stated(sha256=STATED.sha256))  # the server answers 416
    assert part.read_bytes() == DATA


@pytest.mark.slow
def test_a_server_that_is_too_slow_is_given_up(site: Site, part: Path) -> None:
    site.special[NAME] = trickling(len(DATA))
    refused(site, part, "too slow: got less than 1,000 bytes per second")
    assert len(site.requests) == 1


@pytest.mark.slow
def test_a_server_that_does_not_answer_is_given_up(site: Site, part: Path) -> None:
    site.special[NAME] = lambda _: time.sleep(8)
    refused(site, part, "no answer in time", limits=attrs.evolve(FAST, timeout=0.2))


@pytest.mark.slow
def test_an_answer_that_comes_letter_by_letter_is_given_up(site: Site, part: Path) -> None:
    def crawl(handler: Any) -> None:
        for letter in b"HTTP/1.1 200 OK\r\n" + b"X-Y: z\r\n" * 100:
            handler.wfile.write(bytes([letter]))
            time.sleep(0.05)

    site.special[NAME] = crawl
    refused(site, part, "no answer in time", limits=attrs.evolve(FAST, timeout=0.3))


@pytest.mark.slow
def test_a_chunk_that_never_begins_is_given_up(site: Site, part: Path) -> None:
    def crawl(handler: Any) -> None:
        handler.protocol_version = "HTTP/1.1"
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for _ in range(200):
            handler.wfile.write(b"0")
            time.sleep(0.1)

    site.special[NAME] = crawl
    refused(site, part, "too slow")


@pytest.mark.parametrize("status", [500, 503, 429])
def test_a_server_in_trouble_is_asked_again(status: int, site: Site, part: Path) -> None:
    def trouble(handler: Any) -> None:
        if len(site.requests) < 3:
            handler.send_error(status)
        else:
            send(handler, DATA)

    site.special[NAME] = trouble
    got(site, part)
    site.requests.clear()
    part.unlink()
    site.special[NAME] = lambda handler: handler.send_error(status)
    refused(site, part, f"the server answers: {status}")


@pytest.mark.parametrize(
    ("status", "match"), [(404, "no such file"), (403, "cannot be read: got 403"), (401, "public")]
)
def test_a_refusal_is_final(status: int, match: str, site: Site, part: Path) -> None:
    site.special[NAME] = lambda handler: handler.send_error(status)
    refused(site, part, match)
    assert len(site.requests) == 1


def test_redirects_are_followed_to_https_and_nowhere_else(site: Site, part: Path) -> None:
    site.files["/other"] = DATA
    site.special[NAME] = redirected("/other")
    got(site, part)
    for to in ("http://example.org/x", "ftp://example.org/x", "file:///etc/passwd", "https://me:secret@example.org/"):
        site.special[NAME] = redirected(to)
        part.unlink(missing_ok=True)
        assert "secret" not in refused(site, part, "not https|cannot be read: got 302|user name")
        assert not part.exists()
    site.special[NAME] = redirected(NAME)
    refused(site, part, "cannot be read: got 302")
    assert len(site.requests) < 20


def test_the_body_of_a_redirect_is_not_read(site: Site, part: Path) -> None:
    def endless(handler: Any) -> None:
        redirected("/other")(handler)
        while True:
            handler.wfile.write(b"x" * 65536)

    site.files["/other"] = DATA
    site.special[NAME] = endless
    got(site, part)


def test_a_machine_s_own_servers_are_not_read_for_others(site: Site, part: Path) -> None:
    refused(site, part, "cannot be trusted: not https", local=False)
    assert site.requests == []


def test_credentials_are_neither_sent_nor_shown(site: Site, part: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    netrc = part.with_name("netrc")
    netrc.write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(netrc))
    got(site, part)
    assert not {"authorization", "cookie", "referer"} & {key.lower() for key in site.headers[0]}
    part.unlink()
    url = site.address.replace("//", "//me:secret@") + NAME + "?token=secret"
    with pytest.raises(CafxError, match="user name or password") as caught:
        fetch("w", STATED, [url], part, Web(FAST, local=True))
    assert "secret" not in str(caught.value)
    with pytest.raises(CafxError) as caught:
        fetch("w", STATED, [f"{site.address}/none?token=secret"], part, Web(FAST, local=True))
    assert "secret" not in str(caught.value)


def test_an_encoding_is_refused(site: Site, part: Path) -> None:
    def packed(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Encoding", "gzip")
        handler.end_headers()

    site.special[NAME] = packed
    refused(site, part, "another encoding: got gzip")


def test_nobody_answers(part: Path) -> None:
    with pytest.raises(CafxError, match="refused"):
        fetch("w", STATED, ["http://127.0.0.1:9/x"], part, Web(FAST, local=True))
    with pytest.raises(CafxError, match="not found"):
        fetch("w", STATED, ["https://no-such-host.invalid/x"], part, Web(FAST))


def test_a_mirror_is_used_and_a_failure_names_how_many_there_were(site: Site, part: Path) -> None:
    site.files["/mirror"] = DATA
    places = [f"{site.address}/none", f"{site.address}/mirror"]
    assert fetch("w", STATED, places, part, Web(FAST, local=True)) == STATED.sha256
    part.unlink()
    with pytest.raises(CafxError, match=r"/none: there is no such file.*nor from 1 other places.*/gone"):
        fetch("w", STATED, [f"{site.address}/none", f"{site.address}/gone"], part, Web(FAST, local=True))


def test_a_link_in_place_of_the_part_is_not_written_through(site: Site, part: Path, tmp_path: Path) -> None:
    (tmp_path / "victim").write_bytes(b"")
    part.symlink_to(tmp_path / "victim")
    refused(site, part, "cannot be written")
    assert (tmp_path / "victim").read_bytes() == b""


def test_an_unverified_file_is_never_made_of_two(site: Site, part: Path) -> None:
    part.write_bytes(OTHER[:1000])
    got(site, part, Stated())
    assert part.read_bytes() == DATA
    assert site.requests == [(NAME, None)]


def test_a_file_of_this_machine_is_copied_but_no_device(part: Path, tmp_path: Path) -> None:
    (tmp_path / "w").write_bytes(DATA)
    assert fetch("w", STATED, [str(tmp_path / "w")], part, Web(FAST)) == STATED.sha256
    for place in ("/dev/zero", str(tmp_path), str(tmp_path / "none")):
        with pytest.raises(CafxError, match="cannot be read"):
            fetch("w", STATED, [place], part, Web(FAST))
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(CafxError, match="not a regular file"):
        fetch("w", STATED, [str(tmp_path / "pipe")], part, Web(FAST))


CHILD = """
import sys
from pathlib import Path
from cafx_lib_zoo import Stated
from cafx_lib_zoo.download import fetch
from cafx_lib_zoo.web import Web
stated = Stated(int(sys.argv[2]), sys.argv[3])
fetch("w", stated, [sys.argv[1]], Path(sys.argv[4]), Web(local=True))
"""


@pytest.mark.slow
def test_a_download_that_was_killed_is_continued(site: Site, part: Path) -> None:
    """The process is killed, not asked to end, while bytes arrive."""

    def slow(handler: Any) -> None:
        handler.send_response(200)
        handler.send_header("Content-Length", str(len(DATA)))
        handler.end_headers()
        for begin in range(0, len(DATA), 65536):
            handler.wfile.write(DATA[begin : begin + 65536])
            time.sleep(0.1)

    site.special[NAME] = slow
    url = site.address + NAME
    arguments = [sys.executable, "-c", CHILD, url, str(len(DATA)), str(STATED.sha256), str(part)]
    child = subprocess.Popen(arguments)
    while not (part.is_file() and part.stat().st_size > 300_000):
        assert child.poll() is None
        time.sleep(0.02)
    child.send_signal(signal.SIGKILL)
    child.wait()
    del site.special[NAME]
    have = part.stat().st_size
    assert 0 < have < len(DATA)
    got(site, part)
    assert part.read_bytes() == DATA
    assert site.requests[-1] == (NAME, f"bytes={have}-")
