"""convert-imageset against Caffe's own databases, byte for byte, and what it does with bad images."""

from __future__ import annotations

import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.conformance.golden import inside
from cafx.kernel import CafxError
from cafx_command_convert_imageset import _read, convert_imageset
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader
from cafx_lib_feed.images import encode

TestConvertImageset = plugin_suite("command", "convert-imageset")

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


JOB = ("--executor", "local", "--workers", "1")
OPTIONS = [(), ("--shuffle", "--seed", "5"), ("--encode-type", "png"), ("--gray", "--resize", "4x3")]


@pytest.mark.parametrize("backend", ["lmdb", "leveldb"])
@pytest.mark.parametrize("options", OPTIONS, ids=["plain", "shuffled", "encoded", "resized"])
def test_a_job_gives_the_same_database(options: tuple[str, ...], backend: str, many: Path) -> None:
    serial = run(many, many / "list", many / "serial", "-b", backend, *options)
    job = run(many, many / "list", many / "job", "-b", backend, *options, *JOB)
    assert "79 images written" in serial
    assert "1 skipped" in job
    assert "7 a.png' cannot be decoded" in job
    assert contents(many / "job") == contents(many / "serial")
    assert sorted(each.name for each in many.iterdir() if each.suffix in (".job", ".part")) == []


@pytest.fixture
def many(images: Path) -> Path:
    """A list of 80 lines, 79 of them of images that can be read."""
    lines = [f"{number % 12} a.png {number}" for number in range(80) if number % 12 != 7]
    lines += [f"{number % 7} a.png {number}" for number in range(12, 19)]
    (images / "7 a.png").write_bytes(b"broken")
    lines = [*lines[:72], "7 a.png 7", *(lines[72:] + lines)[:7]]
    (images / "list").write_text("\n".join(lines))
    return images


def test_shards_have_all_items_between_them(many: Path) -> None:
    run(many, many / "list", many / "serial")
    run(many, many / "list", many / "db", "--shards", "3", *JOB)
    shards = [many / f"db-{number:05d}-of-00003" for number in range(3)]
    assert [len(contents(shard)) for shard in shards] == [27, 27, 25]
    assert [item for shard in shards for item in contents(shard)] == contents(many / "serial")
    with pytest.raises(CafxError, match="db-00000-of-00003: already exists"):
        run(many, many / "list", many / "db", "--shards", "3", *JOB)
    with pytest.raises(CafxError, match="more shards than records: got 81, expected 80 at most"):
        run(many, many / "list", many / "few", "--shards", "81", *JOB)


def test_a_job_goes_on_where_it_stopped(many: Path) -> None:
    with pytest.raises(CafxError, match=r"7 a\.png"):
        run(many, many / "list", many / "db", "--on-bad", "stop", *JOB)
    assert not (many / "db").exists()
    assert sorted(each.name for each in (many / "db.job").glob("*.json")) == ["00000.json", "00001.json", "job.json"]
    image = (many / "1 a.png").read_bytes()
    (many / "7 a.png").write_bytes(image)
    assert "resuming: 2 of 3 slices are finished" in run(many, many / "list", many / "db", "--on-bad", "stop", *JOB)
    run(many, many / "list", many / "serial")
    assert contents(many / "db") == contents(many / "serial")


def test_a_job_checks_sizes_over_slices(many: Path) -> None:
    (many / "7 a.png").write_bytes(encode(np.zeros((6, 6, 3), np.uint8), ".png", ""))
    with pytest.raises(
        CafxError, match=r"item '00000072_7 a\.png' differs in size from the first: got 108, expected 90"
    ):
        run(many, many / "list", many / "db", "--check-size", *JOB)


def test_a_job_without_any_image_is_an_error(many: Path) -> None:
    with pytest.raises(CafxError, match="none of the images"):
        run(many / "nowhere", many / "list", many / "none", *JOB)
    assert not (many / "none").exists()
    (many / "db").mkdir()
    with pytest.raises(CafxError, match="already exists"):
        run(many, many / "list", many / "db", *JOB)


@pytest.mark.slow
def test_two_processes_and_one_give_the_same(many: Path) -> None:
    for workers, name in ((1, "one"), (2, "two")):
        command = [sys.executable, "-m", "cafx.cli", "convert-imageset", ".", "list", name, "--workers", str(workers)]
        done = subprocess.run(command, cwd=many, capture_output=True, text=True, timeout=120, check=False)
        assert done.returncode == 0, done.stderr
        assert done.stdout == f"79 images written to {name}, 1 skipped\n"
        assert f"{workers} worker" in done.stderr
    assert contents(many / "one") == contents(many / "two")
