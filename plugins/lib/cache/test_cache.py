"""The cache on disk returns only what this user wrote, under the name it was written."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from cafx_lib_cache import Cache, default_folder

KEY, CODE = "0" * 64, b"machine code"
PROCESSES, ENTRIES = 4, 25


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A cache for each test."""
    return tmp_path / "cache/kernels"


def test_an_entry_under_another_name_is_removed(folder: Path) -> None:
    cache = Cache(folder)
    cache.put(KEY, CODE)
    (folder / KEY).rename(folder / "other")
    assert cache.get("other") is None
    assert not list(folder.iterdir())


@pytest.mark.parametrize("mode", [0o620, 0o602])
def test_an_entry_that_others_can_write_to_is_not_used(folder: Path, mode: int) -> None:
    cache = Cache(folder)
    cache.put(KEY, CODE)
    (folder / KEY).chmod(mode)
    assert cache.get(KEY) is None


def test_links_are_not_followed(folder: Path, tmp_path: Path) -> None:
    Cache(folder).put(KEY, CODE)
    folder.rename(tmp_path / "elsewhere")
    folder.symlink_to(tmp_path / "elsewhere")
    assert Cache(folder).get(KEY) is None
    other = Cache(tmp_path / "other/kernels")
    other.put("1", CODE)
    (tmp_path / "other/kernels" / KEY).symlink_to(tmp_path / "elsewhere" / KEY)
    assert other.get(KEY) is None


def test_a_folder_of_another_user_is_not_used(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Cache(folder).put(KEY, CODE)
    monkeypatch.setattr(os, "geteuid", lambda: os.getuid() + 1)
    assert Cache(folder).get(KEY) is None


def test_a_write_that_fails_leaves_nothing(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: Any, **__: Any) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "rename", full)
    Cache(folder).put(KEY, CODE)
    assert not list(folder.iterdir())


def test_the_oldest_entries_beyond_the_limit_are_removed(folder: Path) -> None:
    cache = Cache(folder, limit=1000)
    for index in range(5):
        cache.put(str(index), b"x" * 250)
        os.utime(folder / str(index), (index, index))
    cache.put("5", b"x" * 250)
    assert sorted(entry.name for entry in folder.iterdir()) == ["3", "4", "5"]


@pytest.mark.slow
def test_several_processes_may_write_at_the_same_time(folder: Path) -> None:
    code = f"""if True:
        from pathlib import Path
        from cafx_lib_cache import Cache
        cache = Cache(Path({str(folder)!r}), limit=20_000)
        for turn in range(4):
            for index in range({ENTRIES}):
                cache.put(str(index), bytes([index]) * 5000)
                assert cache.get(str(index)) in (None, bytes([index]) * 5000)
    """
    processes = [subprocess.Popen([sys.executable, "-c", code]) for _ in range(PROCESSES)]
    assert [process.wait() for process in processes] == [0] * PROCESSES
    assert sum(entry.stat().st_size for entry in folder.iterdir()) <= 20_000


@pytest.mark.parametrize(
    ("cafx", "xdg", "expected"),
    [
        ("/a", "/b", "/a/kernels"),
        ("", "/b", None),
        (None, "/b", "/b/cafx/kernels"),
        (None, "", "/home/me/.cache/cafx/kernels"),
        (None, None, "/home/me/.cache/cafx/kernels"),
    ],
)
def test_the_folder_follows_the_environment(
    cafx: str | None, xdg: str | None, expected: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    for name, value in (("CAFX_CACHE", cafx), ("XDG_CACHE_HOME", xdg)):
        monkeypatch.delenv(name, raising=False)
        if value is not None:
            monkeypatch.setenv(name, value)
    assert default_folder("kernels") == (Path(expected) if expected else None)
