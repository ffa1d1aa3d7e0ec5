"""What is no regular file is not read; a device is written to; a link leads to what is replaced."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write, read_file, shown
from cafx.kernel.net import read_weights
from cafx.kernel.registry import registry


@pytest.mark.parametrize("kind", ["pipe", "folder", "/dev/zero"])
def test_pipes_folders_and_devices_are_not_read(kind: str, tmp_path: Path) -> None:
    path = tmp_path / kind
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "folder":
        path.mkdir()
    for read in (read_file, lambda place: read_weights(place, registry())):
        with pytest.raises(CafxError, match=r"cannot be read: (It is not a regular file|Is a directory)"):
            read(path)


def test_a_device_is_written_to_and_stays() -> None:
    with atomic_write(Path("/dev/null")) as file:
        file.write(b"gone")
    assert Path("/dev/null").is_char_device()


def test_a_pipe_is_written_to(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    read: list[bytes] = []
    reader = threading.Thread(target=lambda: read.append(pipe.read_bytes()))
    reader.start()
    with atomic_write(pipe) as file:
        file.write(b"through")
    reader.join()
    assert read == [b"through"]
    assert [each.name for each in tmp_path.iterdir()] == ["pipe"]


def test_a_link_stays_and_what_it_leads_to_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    target, link = tmp_path / "folder" / "target", tmp_path / "link"
    target.write_bytes(b"before")
    link.symlink_to("folder/target")
    with atomic_write(link) as file:
        file.write(b"after")
    assert link.is_symlink()
    assert target.read_bytes() == b"after"
    assert [each.name for each in target.parent.iterdir()] == ["target"]


def test_a_file_has_the_permissions_of_a_new_one_and_any_name(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 255)
    before = os.umask(0o027)
    try:
        with atomic_write(path) as file:
            file.write(b"x")
    finally:
        os.umask(before)
    assert path.stat().st_mode & 0o777 == 0o640


@pytest.mark.parametrize("name", ["\x1b[31m", "\x9b31m", "\u202egnp.exe", "\udc80", "a\nb"])
def test_names_are_shown_without_control_characters(name: str) -> None:
    assert shown(name).isprintable()
    assert shown("plain ünd 中") == "plain ünd 中"
