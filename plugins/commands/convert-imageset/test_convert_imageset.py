"""convert-imageset against Caffe's own databases, byte for byte, and what it does with bad images."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance.golden import inside
from cafx.kernel import CafxError
from cafx_command_convert_imageset import _read, convert_imageset
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader
from cafx_lib_feed.images import encode

FORMATS = Path(os.environ.get("CAFX_SHARED", Path(__file__).parents[4] / "shared")) / "golden/formats"
COMMANDS = FORMATS / "db" / "COMMANDS.txt"
LINES = COMMANDS.read_text().splitlines() if COMMANDS.is_file() else []


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(convert_imageset, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def contents(path: Path) -> list[tuple[bytes, bytes]]:
    with open_database(path) as reader:
        return [(key, bytes(value)) for key, value in reader.items()]


@pytest.mark.skipif(not LINES, reason=f"no golden data in {FORMATS}")
@pytest.mark.parametrize("line", LINES, ids=lambda line: line.split(":")[0])
def test_databases_equal_those_of_caffe(line: str, tmp_path: Path) -> None:
    name, _, command = line.partition(": ")
    options = shlex.split(command)[1:-1]
    sizes = dict(each[2:].split("=") for each in options if each.startswith("--resize_"))
    options = [each.replace("encode_type", "encode-type") for each in options if "--resize_" not in each]
    if sizes:
        options += ["--resize", f"{sizes['resize_height']}x{sizes['resize_width']}"]
    with inside(FORMATS):
        run(*options, tmp_path / "db")
    items, expected = contents(tmp_path / "db"), contents(FORMATS / "db" / name)
    assert [key for key, _ in items] == [key for key, _ in expected]
    if "resize" not in name and "jpeg" not in name:  # resizing and JPEG differ between libraries' versions
        assert items == expected


@pytest.fixture
def images(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for index in range(12):
        image = rng.integers(0, 256, (6, 5, 3), dtype=np.uint8)
        (tmp_path / f"{index} a.png").write_bytes(encode(image, ".png", ""))
    (tmp_path / "list").write_text("".join(f"{index} a.png {index}\n" for index in range(12)))
    return tmp_path


def test_an_unreadable_image_is_skipped_or_stops_the_conversion(images: Path) -> None:
    (images / "4 a.png").write_bytes(b"broken")
    (images / "7 a.png").unlink()
    output = run(f"{images}/", images / "list", images / "db")
    assert "10 images" in output
    assert "2 skipped" in output
    assert "4 a.png" in output
    assert "7 a.png" in output
    with pytest.raises(CafxError, match=r"4 a\.png"):
        run(f"{images}/", images / "list", images / "stopped", "--on-bad", "stop")


@pytest.mark.parametrize("shuffle", [(), ("--shuffle", "--seed", "3")])
def test_an_unfinished_database_is_resumed(images: Path, shuffle: tuple[str, ...]) -> None:
    run(f"{images}/", images / "list", images / "whole", *shuffle)
    order = [key.split(b"_", 1)[1].decode() for key, _ in contents(images / "whole")]
    assert (order == sorted(order, key=lambda name: int(name.split()[0]))) is not bool(shuffle)
    broken = images / order[8]
    original = broken.read_bytes()
    broken.write_bytes(b"not yet")
    with pytest.raises(CafxError):
        run(f"{images}/", images / "list", images / "db", "--on-bad", "stop", *shuffle)
    broken.write_bytes(original)
    with pytest.raises(CafxError, match="created from another list or in another order"):
        run(f"{images}/", images / "list", images / "db", "--resume", "--shuffle", "--seed", "4")
    assert "8 of 12" in run(f"{images}/", images / "list", images / "db", "--resume", *shuffle)
    assert contents(images / "db") == contents(images / "whole")


def test_sizes_labels_and_targets_are_checked(images: Path) -> None:
    (images / "5 a.png").write_bytes(encode(np.zeros((6, 6, 3), np.uint8), ".png", ""))
    with pytest.raises(CafxError, match=r"5 a\.png.* differs in size"):
        run(f"{images}/", images / "list", images / "db", "--check-size")
    run(f"{images}/", images / "list", images / "sized", "--check-size", "--resize", "4x3")
    with pytest.raises(CafxError, match="already exists"):
        run(f"{images}/", images / "list", images / "sized")


@pytest.mark.parametrize("option", [[], ["--negative-labels"]])
def test_labels_may_be_negative_as_in_caffe(images: Path, option: list[str]) -> None:
    (images / "list").write_text("0 a.png -1\n")
    run(f"{images}/", images / "list", images / "negative", *option)
    ((key, value),) = contents(images / "negative")
    assert DatumReader().read(key, memoryview(value)).label == -1


def test_resuming_needs_a_database_of_the_same_kind(images: Path) -> None:
    run(f"{images}/", images / "list", images / "db")
    with pytest.raises(CafxError, match="backend: LMDB"):
        run(f"{images}/", images / "list", images / "db", "--resume", "--backend", "leveldb")
    with pytest.raises(CafxError, match="not a database"):
        run(f"{images}/", images / "list", images, "--resume")
    with pytest.raises(CafxError, match="expected a folder"):
        run(f"{images}/", images / "list", images / "list", "--resume")


def test_the_trailing_slash_of_a_folder_is_optional(images: Path) -> None:
    assert "12 images" in run(images, images / "list", images / "db")
    with pytest.raises(CafxError, match="none of the images"):
        run(images / "nowhere", images / "list", images / "none")
    assert not (images / "none").exists()


def test_an_encode_type_implies_encoded_and_is_validated(images: Path) -> None:
    run(images, images / "list", images / "db", "--encode-type", "JPG")
    datums = [DatumReader().read(key, memoryview(value)) for key, value in contents(images / "db")]
    assert all(bytes((datum.image or b"")[:2]) == b"\xff\xd8" for datum in datums)
    refused = CliRunner().invoke(convert_imageset, [str(images), str(images / "list"), "none", "--encode-type", "foo"])
    assert refused.exit_code != 0
    assert "foo" in refused.output


def test_an_interrupted_run_says_how_to_resume(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cafx_command_convert_imageset._read", interrupt_at_five)
    result = CliRunner().invoke(convert_imageset, [str(images), str(images / "list"), str(images / "db"), "-j", "1"])
    assert result.exit_code != 0
    assert "--resume" in result.output
    monkeypatch.undo()
    assert "5 of 12" in run(images, images / "list", images / "db", "--resume")
    assert len(contents(images / "db")) == 12


def interrupt_at_five(line: tuple[int, str, int], **options: Any) -> Any:
    if line[0] == 5:
        raise KeyboardInterrupt
    return _read(line, **options)
