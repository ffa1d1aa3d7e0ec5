"""Processes of one machine: sums, messages, and what happens if one of them fails or is a stranger."""

from __future__ import annotations

import hashlib
import os
import socket
import subprocess
import sys
import tempfile
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cafx_communicator_local
from cafx.conformance import plugin_suite
from cafx.conformance.device import DeviceArray
from cafx.kernel import CafxError
from cafx_communicator_local import SLOT, Local, new_uid

TestLocal = pytest.mark.slow(plugin_suite("communicator", "local"))

PROGRAM = """
import os, sys
import numpy as np
from cafx.kernel.training import make_communicator
ranks = make_communicator("local")
values = np.arange(4, dtype="f") + ranks.rank
ranks.allreduce(values)
ranks.barrier()
if "die" in sys.argv and ranks.rank:
    os._exit(9)
print(ranks.rank, ranks.size, values.tolist(), ranks.gather(b"%d" % ranks.rank), flush=True)
"""


def together(work: Callable[[Local], Any], size: int = 2, **settings: Any) -> list[Any]:
    """What ``work`` returns for each rank, or the error it raises."""
    uid = new_uid()

    def run(rank: int) -> Any:
        try:
            return work(Local(uid, rank, size, **settings))
        except CafxError as error:
            return error

    with ThreadPoolExecutor(size) as pool:
        return list(pool.map(run, range(size)))


@pytest.mark.slow
@settings(max_examples=15, deadline=None)
@given(st.integers(1, 4), st.integers(0, 40), st.sampled_from(["float32", "float64", "float16"]))
def test_a_sum_is_that_of_all_ranks_in_order(size: int, count: int, kind: str) -> None:
    given_arrays = [np.random.default_rng(rank).normal(size=count).astype(kind) for rank in range(size)]
    expected = np.zeros(count, kind)
    for each in given_arrays:
        expected += each

    def work(ranks: Local) -> Any:
        values = given_arrays[ranks.rank].copy()
        ranks.start_allreduce(values)()
        return values

    for found in together(work, size):
        np.testing.assert_array_equal(found, expected)


def test_arrays_longer_than_shared_memory_go_piece_by_piece() -> None:
    count = 2 * SLOT // 4 + 5

    def work(ranks: Local) -> Any:
        values = np.arange(count, dtype=np.float32) * (ranks.rank + 1)
        ranks.allreduce(values)
        sent = np.full(count, ranks.rank + 4, np.float32)
        ranks.broadcast(sent)
        return values, sent

    for values, sent in together(work):
        np.testing.assert_array_equal(values, np.arange(count, dtype=np.float32) * 3)
        assert (sent == 4).all()


def test_arrays_on_a_device_go_by_the_host() -> None:
    class Device(DeviceArray):
        def get(self) -> Any:
            return self._array.copy()

        def set(self, values: Any) -> None:
            self._array[...] = values

    def work(ranks: Local) -> Any:
        values = Device(np.full(3, ranks.rank + 1.0))
        ranks.allreduce(values)
        return values.get().tolist()

    assert together(work) == [[3.0] * 3] * 2


def test_data_of_any_length_are_gathered() -> None:
    found = together(lambda ranks: ranks.gather(bytes([ranks.rank]) * (ranks.rank * 100_000)), 3)
    assert found == [[b"", b"\1" * 100_000, b"\2" * 200_000]] * 3


def test_ranks_that_do_different_things_are_told() -> None:
    for waits in range(3):
        found = together(lambda ranks, waits=waits: ranks.barrier() if ranks.rank == waits else ranks.gather(b""), 3)
        for each in found:
            assert "processes do different things" in str(each)
            assert "one gathers and one waits" in str(each)


def test_the_folder_is_private_and_gone_afterwards(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    seen: list[int] = []
    make = Path.mkdir

    def watched(self: Path, *arguments: Any, **options: Any) -> None:
        make(self, *arguments, **options)
        seen.append(self.stat().st_mode & 0o777)

    monkeypatch.setattr(Path, "mkdir", watched)
    together(lambda ranks: ranks.barrier())
    assert (seen, list(tmp_path.iterdir())) == ([0o700], [])


def test_strangers_do_not_get_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    uid = new_uid()
    path = tmp_path / f"cafx-{hashlib.sha256(uid).hexdigest()[:16]}" / "meet"
    with ThreadPoolExecutor(2) as pool:
        root = pool.submit(Local, uid, 0, 2, 30)
        for hello in (b"", b"\0\0\0\4junk", b"\x80\x04." * 40):
            stranger = _connected(path)
            stranger.sendall(hello)
            stranger.close()
        other = pool.submit(Local, uid, 1, 2, 30)
        assert root.result().size == other.result().size == 2


def _connected(path: Path) -> socket.socket:
    stranger, waiting = socket.socket(socket.AF_UNIX), threading.Event()
    for _ in range(1000):
        try:
            stranger.connect(str(path))
        except (FileNotFoundError, ConnectionRefusedError):
            waiting.wait(0.01)
        else:
            return stranger
    raise AssertionError("nobody listens")


@pytest.mark.slow
@pytest.mark.parametrize("rank", [0, 1])
def test_whoever_waits_in_vain_is_told(rank: int) -> None:
    with pytest.raises(CafxError, match="processes have not come: got no rank 1" if rank == 0 else "rank 0 has not"):
        Local(new_uid(), rank, 2, seconds=0.2)


def test_a_rank_that_comes_twice_is_refused() -> None:
    uid = new_uid()

    def join(rank: int) -> str:
        with pytest.raises(CafxError) as caught:
            Local(uid, rank, 3, seconds=20)
        return str(caught.value)

    with ThreadPoolExecutor(3) as pool:
        found = list(pool.map(join, [0, 1, 1]))
    assert "a process is not one of these: got rank 1 of 3" in found[0]


@pytest.mark.parametrize(
    ("given_values", "message"),
    [
        ((None, 0, 1), "no group of processes.*0 bytes"),
        ((b"1" * 16, 2, 2), "no group of processes: got rank 2 of 2"),
        ((b"1" * 16, None, 2), "rank or number of processes missing.*CAFX_LOCAL_UID, CAFX_LOCAL_RANK"),
        (("text", 0, 2), "rank or number of processes missing"),
    ],
)
def test_wrong_numbers_are_refused(given_values: Any, message: str) -> None:
    with pytest.raises(CafxError, match=message):
        Local(*given_values)


def test_there_may_be_no_room(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(cafx_communicator_local, "SHARED_MEMORY", tmp_path / "none")
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    assert together(lambda ranks: ranks.gather(b"x")) == [[b"x"] * 2] * 2
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / ("long" * 30)))
    with pytest.raises(CafxError, match=r"path of temporary files is too long.*TMPDIR"):
        Local(new_uid(), 0, 2)


@pytest.mark.slow
@pytest.mark.parametrize("dies", [False, True])
def test_processes_find_each_other_by_the_environment(dies: bool) -> None:
    common = {**os.environ, "CAFX_LOCAL_UID": new_uid().hex(), "CAFX_LOCAL_SIZE": "2"}
    command = [sys.executable, "-c", PROGRAM, *(["die"] if dies else [])]
    started = [
        subprocess.Popen(
            command,
            env={**common, "CAFX_LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for rank in range(2)
    ]
    told = [each.communicate(timeout=60) for each in started]
    if dies:
        assert [each.returncode for each in started] == [1, 9]
        assert "another process has ended" in told[0][1]
    else:
        rows = [f"{rank} 2 [1.0, 3.0, 5.0, 7.0] [b'0', b'1']\n" for rank in range(2)]
        assert [out for out, _ in told] == rows
