"""Images are refused by the size in their header; a database that is not complete is not taken for one."""

from __future__ import annotations

import importlib.util
import signal
import struct
import subprocess
import sys
import threading
import zlib
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError
from cafx_lib_feed import images, tools

SEVERAL = 3
WRITE_FOR_EVER = """
import sys
import threading
from cafx_lib_feed.tools import create
with create(sys.argv[1], sys.argv[2], resumable=bool(sys.argv[3:])) as writer:
    for number in range(10**9):
        writer.put([(b"%09d" % number, bytes(1000))])
        print(number, flush=True)
"""

NEEDS_PLYVEL = pytest.mark.skipif(importlib.util.find_spec("plyvel") is None, reason="plyvel has no wheel here")


def chunk(name: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))


def bomb(kind: str) -> bytes:
    """A small file of an image that claims to be huge."""
    if kind == "png":
        head = struct.pack(">IIBBBBB", 30000, 30000, 8, 2, 0, 0, 0)
        rows = chunk(b"IDAT", zlib.compress(bytes(1000)))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + rows + chunk(b"IEND", b"")
    data = bytearray(images.encode(np.zeros((8, 8, 3), np.uint8), f".{kind}", ""))
    if kind == "jpg":
        at = data.index(b"\xff\xc0") + 5
        data[at : at + 4] = struct.pack(">HH", 65500, 65500)
    else:
        data[18:26] = struct.pack("<ii", 30000, 30000)
    return bytes(data)


@pytest.mark.parametrize("kind", ["png", "jpg", "bmp"])
@pytest.mark.parametrize("channels", [1, 3, None])
def test_an_image_of_too_many_pixels_is_not_decoded(kind: str, channels: int | None) -> None:
    data = bomb(kind)
    assert images.decode_jpeg(data, channels) is None
    with pytest.raises(CafxError, match="image 'x' has too many pixels"):
        images.decode(data, channels, "'x'")


@pytest.mark.parametrize("length", [1, 2**20, 2**32 - 1])
def test_a_chunk_behind_the_end_of_a_png_is_not_allocated(length: int) -> None:
    data = bytearray(images.encode(np.zeros((8, 8, 3), np.uint8), ".png", ""))
    at = data.index(b"IDAT") - 4
    data[at : at + 4] = struct.pack(">I", min(len(data) - at - 12 + length, 2**32 - 1))
    with pytest.raises(CafxError, match="image 'x' cannot be decoded: it is truncated"):
        images.decode(bytes(data), 3, "'x'")


def test_the_limit_can_be_set(monkeypatch: pytest.MonkeyPatch) -> None:
    data = images.encode(np.zeros((9, 9, 3), np.uint8), ".jpg", "")
    monkeypatch.setenv(images.LIMIT_SETTING, str(9 * 9 * 3))
    assert images.decode(data, 3, "x").shape == (9, 9, 3)
    monkeypatch.setenv(images.LIMIT_SETTING, str(9 * 9 * 3 - 1))
    with pytest.raises(CafxError, match="9×9, expected 80 at most"):
        images.decode(data, 3, "x")


@pytest.mark.slow
@pytest.mark.parametrize("backend", ["lmdb", pytest.param("leveldb", marks=NEEDS_PLYVEL)])
@pytest.mark.parametrize("resumable", [False, True])
def test_a_killed_program_leaves_no_database_under_its_name(backend: str, resumable: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-c", WRITE_FOR_EVER, str(tmp_path / "db"), backend, *["resumable"] * resumable]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        for _ in range(SEVERAL):
            assert process.stdout.readline()
        process.send_signal(signal.SIGKILL)
    assert [each.suffix for each in tmp_path.iterdir()] == [".part"]
    if resumable:
        with pytest.raises(CafxError, match="is unfinished"), tools.create(tmp_path / "db", backend, resumable=True):
            pass
        with tools.create(tmp_path / "db", backend, append=True, resumable=True) as writer:
            assert int(writer.last_key() or b"") >= SEVERAL - 1
        assert [each.name for each in tmp_path.iterdir()] == ["db"]


@pytest.mark.parametrize("backend", ["lmdb", pytest.param("leveldb", marks=NEEDS_PLYVEL)])
def test_a_database_has_its_name_once_it_is_complete(backend: str, tmp_path: Path) -> None:
    path = tmp_path / "db"
    with tools.create(path, backend) as writer:
        writer.put([(b"a", b"1")])
        assert not path.exists()
    with tools.reading(str(path), backend) as reader:
        assert len(reader) == 1
    with pytest.raises(CafxError, match="already exists"), tools.create(path, backend):
        pass
    for complete in (True, False):
        with pytest.raises(ZeroDivisionError), tools.create(tmp_path / "other", backend) as writer:  # noqa: PT012
            writer.put([(b"a", b"1")] if complete else [])
            raise ZeroDivisionError
        assert [each.name for each in tmp_path.iterdir()] == ["db"]


def test_work_in_order_ends_with_its_block() -> None:
    several, before, done = 40, set(threading.enumerate()), threading.Event()

    def work(number: int) -> int:
        if number == 2:
            done.wait(10)  # results behind it wait for it
        return number

    with tools.in_order(work, iter(range(several)), 3) as results:
        assert next(results) == 0
        done.set()
        assert list(results) == list(range(1, several))
    kept = []
    for stop in ("read", "abandoned"):
        jobs = iter(range(several))
        with pytest.raises(ZeroDivisionError) as caught, tools.in_order(lambda n: 1 // n, jobs, 3) as results:  # noqa: PT012
            kept.append(results)
            if stop == "abandoned":
                raise ZeroDivisionError
            next(results)
        kept.append(caught)
        assert set(threading.enumerate()) == before
        assert len(list(jobs)) > several // 2
