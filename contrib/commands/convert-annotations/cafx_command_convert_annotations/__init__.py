"""``cafx convert-annotations``: a database from images and their boxes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from cafx_lib_feed.tools import backend_option, create, in_order, progress, threads_option, write_all
from cafx_lib_jobs.options import JobChoice, job_options, shards_option

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase
    from cafx.kernel import CafxError
    from cafx_command_convert_annotations.convert import Conversion, Numbered, Result
    from cafx_command_convert_annotations.entries import Entry, Item, Source

__version__ = "0.1.0"


@click.command()
@click.argument("root", metavar="ROOT")
@click.argument("listed", metavar="ANNOTATIONS", type=click.Path())
@click.argument("out", metavar="DB", type=click.Path())
@click.option("--labelmap", metavar="FILE", type=click.Path(dir_okay=False), help="Label map to number classes by.")
@click.option("--labelmap-out", metavar="FILE", type=click.Path(dir_okay=False), help="Make this label map.")
@click.option("--sizes-out", metavar="FILE", type=click.Path(dir_okay=False), help="Write names and sizes of images.")
@click.option("--encoded", is_flag=True, help="Store encoded image files instead of pixels.")
@click.option("--encode-type", metavar="EXT", default="", help="Encode all images as png, jpg, …; implies --encoded.")
@click.option("--gray", is_flag=True, help="Convert to grayscale.")
@click.option("--resize", metavar="HxW", help="Resize to this height and width, e.g. 300x300.")
@click.option("--shuffle", is_flag=True, help="Shuffle the images.")
@click.option("--seed", type=int, metavar="N", default=0, show_default=True, help="Seed for --shuffle.")
@click.option("--check-size", is_flag=True, help="Fail if image sizes differ.")
@click.option("--check-label", is_flag=True, help="Fail if a class is not in the label map.")
@click.option(
    "--on-bad",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="If an image, annotation or box cannot be used: skip it or stop.",
)
@click.option("--resume", is_flag=True, help="Resume an unfinished database.")
@backend_option
@threads_option
@shards_option
@job_options
def convert_annotations(
    root: str,
    listed: str,
    out: str,
    labelmap: str | None,
    labelmap_out: str | None,
    sizes_out: str | None,
    shuffle: bool,
    seed: int,
    check_size: bool,
    check_label: bool,
    on_bad: str,
    resume: bool,
    backend: str,
    threads: int,
    shards: int | None,
    jobs: JobChoice,
    **images: Any,
) -> None:
    """Write images and their boxes to the database DB of AnnotatedDatums, for SSD.

    ANNOTATIONS is a folder of PASCAL VOC's XML files, a list with an image and its XML file per line, or
    a JSON file of COCO's instances. Paths are relative to ROOT. A crowd of COCO counts as difficult. With
    --executor, workers convert slices of the images, and an interrupted run continues when the command is given again.

    \b
    Examples:
    cafx convert-annotations VOC2007/JPEGImages VOC2007/Annotations voc_lmdb \\
        --labelmap-out labelmap.prototxt --encoded
    cafx convert-annotations VOCdevkit trainval.txt trainval_lmdb \\
        --labelmap labelmap_voc.prototxt --encode-type jpg --shuffle
    cafx convert-annotations val2017 instances_val2017.json val_lmdb \\
        --labelmap-out labelmap_coco.prototxt --sizes-out val_name_size.txt
    """
    from cafx_command_convert_annotations.convert import Conversion, done, order, written_sizes

    if bool(labelmap) == bool(labelmap_out):
        raise click.UsageError("name either a label map to use, --labelmap, or one to make, --labelmap-out")
    conversion = Conversion.of(root, **images)
    source = _source(conversion.root, listed)
    entries = _entries(source, order(len(source.paths), shuffle, seed), threads, on_bad == "stop")
    items = _labels(source, [entry for _, entry in entries], labelmap)
    conversion.number_by(items, source.classes, check_label)
    if jobs or shards:
        if shards and sizes_out:
            raise click.UsageError("--sizes-out needs one database; merge the shards with 'cafx db merge'.")
        if labelmap_out:
            _write_labels(items, labelmap_out)
        count, skipped = _in_slices(conversion, entries, on_bad == "stop", check_size, (out, backend, shards), jobs)
        _conclude(listed, out, count, skipped, count)
        if sizes_out:
            written_sizes(out, backend, entries, conversion, sizes_out)
        return
    bad: list[str] = []
    with _report_at_end(bad, out), create(out, backend, append=resume, resumable=True) as writer:
        start = done(writer.last_key(), entries, out) if resume else 0
        if labelmap_out:
            _write_labels(items, labelmap_out)
        if start:
            click.echo(f"resuming after {start} of {len(entries)} images")
        converted = in_order(conversion.convert, entries[start:], threads)
        with converted as results, progress(results, len(entries) - start, "converting") as shown:
            count = write_all(writer, _valid(shown, bad, on_bad == "stop", check_size))
    _conclude(listed, out, count, len(bad), start + count)
    if sizes_out:
        written_sizes(out, backend, entries, conversion, sizes_out)


def _source(root: str, listed: str) -> Source:
    from pathlib import Path

    from cafx.kernel.files import read_head
    from cafx_command_convert_annotations import coco, voc

    if Path(listed).is_dir():
        return voc.from_folder(root, listed)
    if read_head(listed).lstrip().startswith(b"{"):
        return coco.from_json(listed)
    return voc.from_list(root, listed)


def _entries(source: Source, numbers: Sequence[int], threads: int, stop: bool) -> list[Numbered]:
    """Read all annotations, in the order of conversion."""
    from cafx.kernel import CafxError

    def read(number: int) -> Entry | CafxError:
        try:
            return source.read(number)
        except CafxError as error:
            if stop:
                raise
            return error

    with in_order(read, numbers, threads) as found, progress(found, len(numbers), "reading annotations") as entries:
        return list(enumerate(entries))


def _labels(source: Source, entries: Sequence[Entry | CafxError], labelmap: str | None) -> list[Item]:
    """Read the label map, or make one."""
    from cafx_command_convert_annotations.entries import Item, made_labels
    from cafx_lib_ssd import read_label_map

    if labelmap is None:
        return made_labels(source, entries)
    return [Item(each.name, each.label, each.display_name) for each in read_label_map(labelmap).item]


def _write_labels(items: Sequence[Item], path: str) -> None:
    from pathlib import Path

    from cafx.kernel.files import atomic_write
    from cafx_command_convert_annotations.entries import label_map_text

    with atomic_write(Path(path)) as file:
        file.write(label_map_text(items).encode())


@contextlib.contextmanager
def _report_at_end(bad: list[str], out: str) -> Iterator[None]:
    """At the end, even after an error, print what was skipped; after Ctrl-C, how to resume."""
    try:
        yield
    except KeyboardInterrupt:
        click.echo(f"{out} is unfinished; run the same command with --resume to continue", err=True)
        raise
    finally:
        for each in bad:
            click.echo(f"skipped: {each}", err=True)


def _valid(results: Iterator[Result], bad: list[str], stop: bool, check_size: bool) -> Iterator[tuple[bytes, bytes]]:
    """Keys and values of what could be converted; the rest is appended to ``bad`` or, with ``stop``, raised."""
    from cafx_command_convert_annotations.convert import valid

    first: int | None = None
    for result in valid(results, bad, stop):
        first = result.size if first is None else first
        if check_size:
            _check_size(result.name, result.size, first)
        yield result.key, result.value


def _check_size(name: str, size: int, first: int) -> None:
    from cafx.kernel import CafxError

    if size != first:
        remedy = "resize all images: --resize 300x300"
        raise CafxError(f"image '{name}' differs in size from the first", found=size, expected=first, remedy=remedy)


def _in_slices(
    conversion: Conversion,
    entries: Sequence[Numbered],
    stop: bool,
    check_size: bool,
    database: tuple[str, str, int | None],
    jobs: JobChoice,
) -> tuple[int, int]:
    """Convert the images in slices; returns how many were written, and how many images or boxes were skipped."""
    from cafx_command_convert_annotations.slices import outcomes

    count = bad = 0
    first: list[int] = []
    with outcomes(conversion, entries, stop, database, jobs) as found:
        for outcome in found:
            count, bad = count + outcome.report.count, bad + len(outcome.report.bad)
            for name, size in outcome.report.values["sizes"] if check_size else ():
                first = first or [size]
                _check_size(name, size, first[0])
    return count, bad


def _conclude(listed: str, out: str, count: int, bad: int, total: int) -> None:
    """Print what was written.

    Args:
        listed, out: the annotations and the database.
        count: images that were written now.
        bad: images and boxes that were skipped.
        total: images in the database.
    """
    from cafx.kernel import CafxError

    skipped = f", {bad} images or boxes skipped" if bad else ""
    click.echo(f"{count} images written to {out}{skipped}", err=not total)
    if not total:
        remedy = "see above; ROOT is the prefix of all paths"
        raise CafxError("none of the images can be converted", where=listed, remedy=remedy)


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_convert_annotations.conformance_cases`."""
    from cafx_command_convert_annotations import conformance_cases as own

    return own.cases()
