"""``cafx resize-images``: a folder of images, resized."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs
import click

from cafx_lib_jobs.options import LOCAL, JobChoice, job_options

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase
    from cafx_lib_feed.images import Image
    from cafx_lib_jobs.hold import Hold
    from cafx_lib_jobs.task import Report

MODES = ("stretch", "crop", "short")
MOST_IMAGES = 4096
MOST_SIDE = 1 << 15
TREE = "tree"
"""Folder in the job's folder, which becomes the result."""


@click.command()
@click.argument("folder", type=click.Path(file_okay=False))
@click.argument("out", type=click.Path())
@click.option("--size", metavar="HxW", default="256x256", show_default=True, help="Height and width of the images.")
@click.option(
    "--mode",
    type=click.Choice(MODES),
    default="stretch",
    show_default=True,
    help="Stretch to the size; or keep proportions and crop the centre; or make the shorter side equal to the size's.",
)
@click.option("--gray", is_flag=True, help="Convert to grayscale.")
@click.option(
    "--on-bad",
    type=click.Choice(["skip", "stop"]),
    default="skip",
    show_default=True,
    help="If an image cannot be read: skip it or stop.",
)
@job_options
def resize_images(folder: str, out: str, size: str, mode: str, gray: bool, on_bad: str, jobs: JobChoice) -> None:
    """Resize all images in FOLDER and the folders in it, and write them to the same paths in the new folder OUT.

    Files keep their names and formats; JPEG's quality is 95. OUT appears once it is complete. A run that was
    interrupted continues when the same command is given again.

    \b
    Examples:
    cafx resize-images ILSVRC2012/train train-256 --size 256x256
    cafx resize-images photos photos-256 --mode crop --executor ray --address head:6379
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.database import checked_target
    from cafx_lib_jobs.folder import job_folder
    from cafx_lib_jobs.job import Job
    from cafx_lib_jobs.manifest import Manifest

    height, width = _size(size)
    target = checked_target(Path(out))
    names = find_tree(Path(folder))
    draft = job_folder(target) / TREE
    job = Job(
        function=resize_slice,
        arguments={
            "folder": folder,
            "out_folder": str(draft),
            "height": height,
            "width": width,
            "mode": mode,
            "color": not gray,
            "stop": on_bad == "stop",
        },
        records=names,
        manifest=Manifest.of(len(names), most=MOST_IMAGES),
        label="resizing",
        target=target,
        inputs=lambda records: [str(Path(folder, name)) for name in records],
    )
    count = bad = 0
    with job.outcomes(jobs if jobs else attrs.evolve(jobs, executor=LOCAL)) as outcomes:
        for outcome in outcomes:
            count, bad = count + outcome.report.count, bad + len(outcome.report.bad)
        if not count:
            raise CafxError("none of the images can be read", where=folder, remedy="see above")
        draft.rename(target)
    click.echo(f"{count} images written to {out}" + (f", {bad} skipped" if bad else ""))


def _size(text: str) -> tuple[int, int]:
    height, _, width = text.lower().partition("x")
    width = width or height
    if not (height.isdecimal() and width.isdecimal() and 0 < int(height) <= MOST_SIDE and 0 < int(width) <= MOST_SIDE):
        raise click.BadParameter(f"{text!r} is not a size; try --size 256x256", param_hint="--size")
    return int(height), int(width)


def find_tree(folder: Path) -> list[str]:
    """The paths of all image files below a folder, relative to it and sorted; links to folders are not followed.

    Raises:
        CafxError: there are none, or the folder cannot be read.
    """
    from cafx.kernel import CafxError
    from cafx.kernel.files import unreadable
    from cafx_lib_inputs.files import SUFFIXES

    def refuse(error: OSError) -> None:
        raise unreadable(error.filename or folder, error)

    found = [
        os.path.relpath(os.path.join(above, name), folder)  # noqa: PTH118 - pathlib takes ten times as long
        for above, _, names in os.walk(folder, onerror=refuse)
        for name in names
        if name.lower().endswith(SUFFIXES)
    ]
    if not found:
        raise CafxError("no images in this folder", where=str(folder), expected=f"images: {', '.join(SUFFIXES)}")
    return sorted(found)


def resize_slice(
    names: Sequence[str], out: Path, hold: Hold, *, folder: str, out_folder: str, stop: bool, **how: Any
) -> Report:
    """Resize a slice of the images; the output itself only lists them.

    Args:
        names: paths below the folder.
        out: the path to write the list to.
        hold: not used.
        folder, out_folder: where images are read and written.
        stop: raise the error of an image that cannot be read.
        how: see `resized`.
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.images import MissingExtra, encode, read_image
    from cafx_lib_jobs.task import Report

    bad: list[str] = []

    def written() -> Iterator[str]:
        for name in names:
            source, target = Path(folder, name), Path(out_folder, name)
            try:
                image = resized(read_image(source, color=how["color"]), how["height"], how["width"], how["mode"])
                contents = encode(image, source.suffix.lower(), f"'{source}'")
            except MissingExtra:
                raise
            except CafxError as error:
                if stop:
                    raise
                bad.append(str(error))
                continue
            _write(target, contents)
            yield name

    text = "".join(f"{name}\n" for name in written())
    out.write_text(text, "utf-8", "surrogateescape")
    return Report(text.count("\n"), bad)


def _write(path: Path, contents: bytes) -> None:
    from cafx.kernel import CafxError
    from cafx.kernel.files import shown

    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(contents)
    except OSError as error:
        remedy = "check that there is disk space left"
        raise CafxError(f"cannot be written: {error.strerror}", where=shown(path), remedy=remedy) from error


def resized(image: Image, height: int, width: int, mode: str) -> Image:
    """Resize an image by bilinear interpolation.

    Args:
        image: H×W×C.
        height, width: the size.
        mode: ``stretch`` to the size; ``crop`` the centre after the image has just covered the size, as Caffe's
            resize_and_crop_images.py does; ``short`` to leave it uncropped.

    Example:
        >>> import numpy as np
        >>> image = np.zeros((40, 30, 3), np.uint8)
        >>> [resized(image, 20, 20, mode).shape for mode in ("stretch", "crop", "short")]
        [(20, 20, 3), (20, 20, 3), (27, 20, 3)]
    """
    from cafx_lib_feed.images import resize

    if mode == "stretch":
        return resize(image, height, width)
    scale = max(height / image.shape[0], width / image.shape[1])
    high, wide = (max(least, round(side * scale)) for side, least in zip(image.shape, (height, width), strict=False))
    image = resize(image, high, wide)
    if mode == "short":
        return image
    top, left = (high - height) // 2, (wide - width) // 2
    return image[top : top + height, left : left + width]


def cases() -> Iterable[CommandCase]:
    """Four images, stretched."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import write_images

    here = ["--executor", "local", "--workers", "1"]
    yield CommandCase("stretched", ["images", "small", "--size", "4x5", *here], write_images, ["small"])
