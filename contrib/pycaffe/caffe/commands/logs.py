"""``parse_log.py``: tables of the training and test scores in a log."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from pathlib import Path

import attrs
import click

from caffe.commands.program import program
from cafx.kernel import CafxError

PREFIX = re.compile(r"[IWEF](?:(\d{4})(?=\d{4} ))?(\d\d)(\d\d) (\d\d):(\d\d):(\d\d)\.(\d+)")
ITERATION = re.compile(r"Iteration (\d+)")
RATE = re.compile(r"Iteration \d+, lr = (\S+)")
OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = ([^\s,]+)")
COLUMNS = ("NumIters", "Seconds", "LearningRate")
YEAR, DAYS = 2000, 366
"""A leap year, for logs without one, and its length."""

Row = dict[str, float]


@attrs.define
class Tables:
    """The rows of a log: iteration, seconds since the start, learning rate and each output."""

    train: list[Row] = attrs.field(factory=list)
    test: list[Row] = attrs.field(factory=list)


@program
@click.argument("log", metavar="LOGFILE_PATH", type=click.Path(dir_okay=False))
@click.argument("folder", metavar="OUTPUT_DIR", type=click.Path(file_okay=False))
@click.option("--delimiter", default=",", show_default=True, help="Between two columns.")
@click.option("--verbose", is_flag=True, help="Print the names of the files.")
def parse_log(log: str, folder: str, delimiter: str, verbose: bool) -> None:
    """Write LOGFILE.train and LOGFILE.test to OUTPUT_DIR: tables of the scores of a log."""
    try:
        lines = Path(log).read_text("utf-8", "replace").splitlines()
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=log, remedy="check the path") from None
    tables = read_tables(lines, log)
    for ending, rows in (("train", tables.train), ("test", tables.test)):
        path = Path(folder) / f"{Path(log).name}.{ending}"
        _write(path, rows, delimiter)
        if verbose and rows:
            click.echo(f"Wrote {path}")


def read_tables(lines: Iterable[str], source: str) -> Tables:
    """The scores in the lines of a log of Caffe or cafx.

    Args:
        lines: the lines; those without glog's prefix are skipped.
        source: the file, for errors.

    Raises:
        CafxError: there is no line of Caffe's log.
    """
    tables, start, iteration, rate = Tables(), None, None, float("nan")
    for time, text in _stamped(lines):
        if start is None or "Solving" in text:
            start = start or time
        found = ITERATION.search(text)
        iteration = float(found[1]) if found else iteration
        if found and (new := RATE.search(text)):
            rate = float(new[1])
            _complete(tables.train, iteration, rate)
        output = OUTPUT.search(text)
        if output and iteration is not None:
            rows = tables.train if output[1] == "Train" else tables.test
            if not rows or rows[-1]["NumIters"] != iteration:
                rows.append(dict(zip(COLUMNS, (iteration, (time - start).total_seconds(), rate), strict=True)))
            rows[-1][output[2]] = float(output[3])
    if start is None:
        raise CafxError("has no line of Caffe's log", where=source, remedy="'cafx train --log FILE' writes a log")
    for rows in (tables.train, tables.test):
        if len(rows) > 1 and rows[0]["LearningRate"] != rows[0]["LearningRate"]:
            rows[0]["LearningRate"] = rows[1]["LearningRate"]
    return tables


def _complete(rows: list[Row], iteration: float | None, rate: float) -> None:
    """Set the learning rate of the row it was logged after."""
    if rows and rows[-1]["NumIters"] == iteration:
        rows[-1]["LearningRate"] = rate


def _stamped(lines: Iterable[str]) -> Iterator[tuple[datetime, str]]:
    """Time and text of each line with glog's prefix; times continue to grow over New Year."""
    previous, years = None, 0
    for line in lines:
        match = PREFIX.match(line)
        if not match:
            continue
        year, month, day, hour, minute, second = (int(part or YEAR) for part in match.groups()[:6])
        time = datetime(year, month, day, hour, minute, second) + timedelta(seconds=float(f"0.{match[7]}"))
        if previous and not match[1] and previous - time > timedelta(days=180):
            years += 1
        previous = time
        yield time + timedelta(days=DAYS * years), line


def _write(path: Path, rows: list[Row], delimiter: str) -> None:
    try:
        with path.open("w", encoding="utf-8", newline="") as file:
            names = list(dict.fromkeys(name for row in rows for name in row))
            writer = csv.DictWriter(file, names, delimiter=delimiter, lineterminator="\n")
            if rows:
                writer.writeheader()
            writer.writerows(rows)
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}", where=str(path), remedy="name a folder that exists"
        ) from None
