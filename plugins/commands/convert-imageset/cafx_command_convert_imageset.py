"""``cafx convert-imageset``: a database from a list of images."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import backend_option, create, in_order, progress, threads_option, write_all
from cafx_lib_jobs.options import JobChoice, job_options, shards_option

if TYPE_CHECKING:
    from pathlib import Path

    from cafx.conformance.kinds.command import CommandCase
    from cafx.kernel import CafxError
    from cafx_lib_jobs.hold import Hold
    from cafx_lib_jobs.task import Report

Line = tuple[int, str, int]
"""Number, path and label of a line of the list."""


@click.command()
@click.argument("root", metavar="ROOT")
@click.argument("listed", metavar="LIST", type=click.Path(dir_okay=False))
@click.argument("out", metavar="DB", type=click.Path())
@click.option("--encoded", is_flag=True, help="Store encoded image files instead of pixels.")
@click.option("--encode-type", metavar="EXT", default="", help="Encode all images as png, jpg, …; implies --encoded.")
@click.option("--gray", is_flag=True, help="Convert to grayscale.")
@click.option("--resize", metavar="HxW", help="Resize to this height and width, e.g. 256x256.")
@click.option("--shuffle", is_flag=True, help="Shuffle the list.")
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Seed for --shuffle.")
@click.option("--check-size", is_flag=True, help="Fail if image sizes differ.")
@click.option(
    "--on-bad",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="If an image cannot be read: skip it or stop.",
)
@click.option("--resume", is_flag=True, help="Resume an unfinished database.")
@click.option("--negative-labels", is_flag=True, hidden=True, expose_value=False, help="Accepted, ignored.")
@backend_option
@threads_option
@shards_option
@job_options
def convert_imageset(
    root: str,
    listed: str,
    out: str,
    encoded: bool,
    encode_type: str,
    gray: bool,
    resize: str | None,
    shuffle: bool,
    seed: int,
    check_size: bool,
    on_bad: str,
    resume: bool,
    backend: str,
    threads: int,
    shards: int | None,
    jobs: JobChoice,
) -> None:
    """Write the images named in LIST, one `PATH LABEL` per line, to the database DB.

    Paths are relative to ROOT. Keys and values equal those of Caffe's convert_imageset, and Caffe can
    read the database.

    With --executor, workers convert slices of the list, and a run that was interrupted continues when the same
    command is given again. The database is the same.

    \b
    Examples:
    cafx convert-imageset images/ train.txt train_lmdb --resize 256x256 --shuffle
    cafx convert-imageset images/ train.txt train_lmdb --executor local --workers 8
    """
    from cafx_lib_feed.lists import read_list
    from cafx_lib_jobs.memory import keep_memory

    lines = [(number, *line) for number, line in enumerate(_ordered(read_list(listed), shuffle, seed))]
    height, width = _size(resize)
    how: dict[str, Any] = {
        "root": _root(root, lines[0][1]),
        "color": not gray,
        "height": height,
        "width": width,
        "encoded": encoded or bool(encode_type),
        "suffix": _suffix(encode_type),
    }
    if jobs or shards:
        _convert_in_slices(lines, listed, out, {**how, "stop": on_bad == "stop"}, check_size, backend, shards, jobs)
        return
    keep_memory()
    read = functools.partial(_read, **how)
    bad: list[CafxError] = []
    with _report_at_end(bad, out), create(out, backend, append=resume, resumable=True) as writer:
        done = _done(writer.last_key(), lines, out) if resume else 0
        if done:
            click.echo(f"resuming after {done} of {len(lines)} lines")
        converted = in_order(read, lines[done:], threads)
        with converted as results, progress(results, len(lines) - done, "converting") as shown:
            count = write_all(writer, _valid(shown, bad, on_bad == "stop", check_size))
    _conclude(listed, out, count, len(bad), done + count)


def _conclude(listed: str, out: str, count: int, bad: int, total: int) -> None:
    """Print what was written.

    Args:
        listed, out: the list and the database.
        count, bad: images that were written and skipped now.
        total: images in the database.
    """
    from cafx.kernel import CafxError

    failed = bool(bad and not total)
    click.echo(f"{count} images written to {out}" + (f", {bad} skipped" if bad else ""), err=failed)
    if failed:
        remedy = "see above; ROOT is the prefix of all paths"
        raise CafxError("none of the images can be read", where=listed, remedy=remedy)


def _convert_in_slices(
    lines: list[Line],
    listed: str,
    out: str,
    how: dict[str, Any],
    check_size: bool,
    backend: str,
    shards: int | None,
    jobs: JobChoice,
) -> None:
    """Convert slices of the list, each to a part of the database or to one of its shards."""
    from cafx_lib_jobs.databases import DatabaseJob

    job = DatabaseJob(
        function=convert_slice,
        arguments=how,
        records=lines,
        inputs=functools.partial(_files, how["root"]),
        out=out,
        backend=backend,
        shards=shards,
    )
    first: list[int] = []
    with job.outcomes(jobs) as outcomes:
        count, bad = 0, 0
        for outcome in outcomes:
            count, bad = count + outcome.report.count, bad + len(outcome.report.bad)
            for key, size in outcome.report.values["sizes"] if check_size else ():
                first = first or [size]
                _check_size(key, size, first[0])
    _conclude(listed, out, count, bad, count)


def _files(root: str, lines: Sequence[Line]) -> list[str]:
    return [root + name for _, name, _ in lines]


def convert_slice(
    lines: Sequence[Line], out: Path, hold: Hold, *, stop: bool, backend: str | None, **how: Any
) -> Report:
    """Convert a slice of a list to a database, or without ``backend`` to a file of items.

    Args:
        lines: the slice.
        out: the path to write to.
        hold: not used.
        stop: raise the error of an image that cannot be read.
        backend: kind of the database.
        how: see `_read`.
    """
    from cafx.kernel import CafxError
    from cafx_lib_jobs.databases import write_part
    from cafx_lib_jobs.task import Report

    bad: list[str] = []
    sizes: dict[int, str] = {}

    def items() -> Iterator[tuple[bytes, bytes]]:
        for line in lines:
            result = _read((line[0], line[1], line[2]), **how)
            if isinstance(result, CafxError):
                if stop:
                    raise result
                bad.append(str(result))
                continue
            key, value, size = result
            if len(sizes) < 2:  # one that differs from the first is enough
                sizes.setdefault(size, key.decode("utf-8", "backslashreplace"))
            yield key, value

    count = write_part(out, items(), backend)
    return Report(count, bad, {"sizes": [(key, size) for size, key in sizes.items()]})


@contextlib.contextmanager
def _report_at_end(bad: list[CafxError], out: str) -> Iterator[None]:
    """At the end, even after an error, print what was skipped; after Ctrl-C, how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"{out} is unfinished; run the same command with --resume to continue", err=True)
        raise
    finally:
        for error in bad:
            click.echo(f"skipped: {error}", err=True)


def _root(root: str, first: str) -> str:
    """The prefix of all paths, as in Caffe; a folder may be given without its trailing slash."""

    is_folder = os.path.isdir(root) and not os.path.exists(root + first)  # noqa: PTH110, PTH112 - pathlib raises where a name is too long
    return f"{root}/" if is_folder else root


def _ordered(lines: list[tuple[str, int]], shuffle: bool, seed: int) -> list[tuple[str, int]]:
    if not shuffle:
        return lines
    from cafx.kernel.net import Streams

    order = Streams(seed)["convert-imageset"].permutation(len(lines))
    return [lines[number] for number in order]


def _size(resize: str | None) -> tuple[int, int]:
    if not resize:
        return 0, 0
    height, _, width = resize.lower().partition("x")
    width = width or height
    if not (height.isdigit() and width.isdigit()) or not int(height) * int(width):
        raise click.BadParameter(f"{resize!r} is not a size; try --resize 256x256", param_hint="--resize")
    return int(height), int(width)


def _suffix(encode_type: str) -> str:
    """The file suffix of --encode-type; empty without it."""
    from cafx_lib_feed.images import cv2

    suffix = encode_type.lower().lstrip(".")
    if suffix and not cv2().haveImageWriter(f".{suffix}"):
        raise click.BadParameter(f"{encode_type!r} is not an image format; try png or jpg", param_hint="--encode-type")
    return suffix


def _done(key: bytes | None, lines: list[Line], out: str) -> int:
    """The number of lines that are in the database already, according to its last key."""
    from cafx.kernel import CafxError

    if key is None:
        return 0
    number = key.split(b"_", 1)[0]
    if not number.isdigit() or int(number) >= len(lines) or key != _key(lines[int(number)]):
        raise CafxError(
            "was created from another list or in another order",
            where=out,
            found=f"key {key.decode('utf-8', 'backslashreplace')}",
            remedy="use the same list, --shuffle and --seed, or choose another name",
        )
    return int(number) + 1


def _key(line: Line) -> bytes:
    """The key of a line, as in Caffe."""
    return f"{line[0]:08d}_{line[1]}".encode("utf-8", "surrogateescape")


def _read(
    line: Line, root: str, color: bool, height: int, width: int, encoded: bool, suffix: str
) -> tuple[bytes, bytes, int] | CafxError:
    """Key, Datum and size of an image, or the error if it cannot be read."""
    from cafx.kernel import CafxError
    from cafx_lib_feed.datum import datum_bytes
    from cafx_lib_feed.images import MissingExtra, decode, encode, planes, read_bytes, resize

    _, name, label = line
    try:
        contents = read_bytes(root + name)
        image = decode(contents, 3 if color else 1, f"'{root + name}'")
        if height:
            image = resize(image, height, width)
        if not encoded:
            value, size = datum_bytes(planes(image), label, encoded=False), image.size
        else:
            ending = name.rpartition(".")[2].lower()
            target = suffix or ending
            if height or not (target == ending or (target, ending) == ("jpg", "jpeg")):
                contents = encode(image, f".{target}", f"'{root + name}'")
            value, size = datum_bytes(None, label, image=contents, encoded=True), len(contents)
    except MissingExtra:
        raise
    except CafxError as error:
        return error
    return _key(line), value, size


def _valid(
    results: Iterator[tuple[bytes, bytes, int] | CafxError], bad: list[CafxError], stop: bool, check_size: bool
) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of valid images; errors are appended to ``bad`` or, with ``stop``, raised."""
    from cafx.kernel import CafxError

    first: int | None = None
    for result in results:
        if isinstance(result, CafxError):
            if stop:
                raise result
            bad.append(result)
            continue
        key, value, size = result
        first = size if first is None else first
        if check_size:
            _check_size(key.decode("utf-8", "backslashreplace"), size, first)
        yield key, value


def _check_size(key: str, size: int, first: int) -> None:
    from cafx.kernel import CafxError

    if size != first:
        raise CafxError(
            f"item '{key}' differs in size from the first",
            found=size,
            expected=first,
            remedy="resize all images: --resize 256x256",
        )


def cases() -> Iterable[CommandCase]:
    """Four images, as they are and resized."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import database_contents, write_images

    kept = {"kept": ["db.part/*"], "contents": database_contents}
    yield CommandCase("plain", ["images/", "list.txt", "db"], write_images, ["db"], **kept)
    resized = ["images/", "list.txt", "db", "--resize", "4x5", "--shuffle", "--backend", "leveldb"]
    yield CommandCase("resized", resized, write_images, ["db"], **kept)
