"""Damaged images, and little memory: what C libraries would write, and threads that cannot be started."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError
from cafx_lib_feed import images
from cafx_lib_feed.images import encode, read_bytes
from cafx_lib_feed.prefetch import Batch, Prefetcher, Source

DAMAGED = """
import os, sys, threading
from cafx.kernel import CafxError
from cafx_lib_feed.images import decode
APART
data = open("bad.png", "rb").read()

def damaged():
    for _ in range(20):
        try:
            decode(data, 3, "bad.png")
        except CafxError:
            pass

threads = [threading.Thread(target=damaged) for _ in range(4)]
for thread in threads:
    thread.start()
for number in range(200):
    print("line", number, file=sys.stderr, flush=True)
for thread in threads:
    thread.join()
os.write(2, b"from C\\n")
"""
APART = 'sys.stderr = os.fdopen(os.dup(2), "w")'


@pytest.fixture
def decode_damaged(tmp_path: Path) -> Callable[[str], list[str]]:
    """What another process writes to standard error while four threads decode a damaged image."""
    pixels = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    data = bytearray(encode(pixels, ".png", ""))
    data[40] ^= 0xFF
    (tmp_path / "bad.png").write_bytes(data)

    def run(code: str) -> list[str]:
        done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=True)
        return done.stderr.splitlines()

    return run


@pytest.mark.slow
def test_c_libraries_write_nothing_beside_our_messages(decode_damaged: Callable[[str], list[str]]) -> None:
    lines = decode_damaged(DAMAGED.replace("APART", APART))
    assert lines == [*(f"line {number}" for number in range(200)), "from C"]


@pytest.mark.slow
def test_no_message_is_lost_where_standard_error_is_shared(decode_damaged: Callable[[str], list[str]]) -> None:
    lines = decode_damaged(DAMAGED.replace("APART", ""))
    assert {f"line {number}" for number in range(200)} <= set(
        "\n".join(lines).replace("libpng", "\nlibpng").split("\n")
    )


def test_without_address_space_opencv_is_not_imported(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(images, "OPENCV_BYTES", 1 << 60)
    with pytest.raises(MemoryError):
        images.cv2.__wrapped__()


class Count(Source):
    """Batches with their number."""

    workers = 3

    def seek(self, batch: int) -> None:
        """Every number can be fetched."""

    def fetch(self, batch: int) -> int:
        """The number of a batch."""
        return batch

    def fill(self, fetched: int, number: int, batch: Batch) -> None:
        """A batch with its number."""
        batch.shape((1,))[0][...] = fetched


@pytest.mark.parametrize("startable", [1, 2])
def test_with_memory_for_fewer_threads_fewer_prefetch(startable: int, monkeypatch: pytest.MonkeyPatch) -> None:
    _limit_threads(startable, monkeypatch)
    prefetcher = Prefetcher(Count(), 3, np.float32)
    assert [float(prefetcher.next().arrays[0][0]) for _ in range(5)] == [0, 1, 2, 3, 4]
    prefetcher.close()


def test_without_memory_for_a_thread_nothing_is_left_to_join(monkeypatch: pytest.MonkeyPatch) -> None:
    _limit_threads(0, monkeypatch)
    with pytest.raises(RuntimeError, match="can't start new thread"):
        Prefetcher(Count(), 3, np.float32)


def _limit_threads(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let only ``count`` threads be started."""
    started: list[threading.Thread] = []
    start = threading.Thread.start

    def limited(thread: threading.Thread) -> None:
        if len(started) == count:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", limited)


@pytest.mark.parametrize("path", ["a\0b.png", "a" * 5000])
def test_a_path_that_cannot_be_is_an_error(path: str) -> None:
    with pytest.raises(CafxError, match="cannot be read"):
        read_bytes(path)
