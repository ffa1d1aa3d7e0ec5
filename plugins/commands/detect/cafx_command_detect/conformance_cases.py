"""The conformance cases of ``cafx detect``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import write_images, write_net


def cases() -> Iterable[CommandCase]:
    """Given windows, printed, as a table and as JSON."""

    def prepare(folder: Path) -> None:
        write_net(folder)
        write_images(folder)
        (folder / "w.csv").write_text("filename,ymin,xmin,ymax,xmax\nimages/0.png,0,0,4,4\nimages/0.png,2,2,6,6\n")

    run = [
        "net.prototxt",
        "--windows",
        "w.csv",
        "--weights",
        "net.caffemodel",
        "--engine",
        "numpy",
        "--threshold",
        "0",
        "--pad",
        "1",
    ]
    yield CommandCase("printed", run, prepare)
    yield CommandCase("table", [*run, "--csv", "found.csv", "--out", "drawn"], prepare, ["found.csv", "drawn"])
    yield CommandCase("json", [*run, "--json"], prepare)
