"""``cafx plot``: curves of loss, scores and learning rate, from our logs and from Caffe's."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import attrs
import click

from cafx.kernel.errors import CafxError
from cafx.kernel.net import atomic_write

LINE = re.compile(r"[IWEF](?:\d{4})?(\d{2})(\d{2}) (\d{2}):(\d{2}):(\d{2})\.(\d+)\s+\d+ [^\]]+\] (.*)")
LOSS = re.compile(r"Iteration (\d+).*?, loss = (\S+)")
RATE = re.compile(r"Iteration (\d+), lr = (\S+)")
TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = ([^\s,]+)")
PANELS = ("loss", "score", "lr")
LABELS = {"loss": "loss", "score": "score", "lr": "learning rate"}
DPI = 120
STYLES = ("-", "--", ":", "-.")
WINDOWLESS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")  # matplotlib's backends for files


@attrs.define
class Curve:
    """One value over a run: iteration, seconds since its start, value."""

    panel: str
    label: str
    points: list[tuple[int, float, float]] = attrs.field(factory=list)


@attrs.define
class Curves:
    """The curves of one log, by name."""

    found: dict[str, Curve] = attrs.field(factory=dict)

    def add(self, name: str, iteration: int, seconds: float, value: float) -> None:
        """One more point of the curve called ``name``, which says the panel it belongs to."""
        panel = "lr" if name == "lr" else "loss" if "loss" in name.lower() else "score"
        self.found.setdefault(name, Curve(panel, name)).points.append((iteration, seconds, value))


def read(path: Path) -> Curves:
    """The curves in a log: a metrics file (CSV or JSON lines), or text in Caffe's format.

    Raises:
        CafxError: the file cannot be read, or has no curve in it.
    """
    try:
        text = path.read_text("utf-8", "replace")
    except OSError as error:
        raise CafxError(f"cannot be read: {error.strerror}", where=str(path), remedy="check the path") from None
    reader: Callable[[str, Curves], None] = _read_log
    if text.lstrip().startswith("{"):
        reader = _read_json
    elif text.startswith("iteration,"):
        reader = _read_csv
    curves = Curves()
    try:
        reader(text, curves)
    except (ValueError, KeyError, TypeError) as error:
        raise CafxError(f"is damaged: {error}", where=str(path)) from None
    if not curves.found:
        raise CafxError(
            "has no curve in it", where=str(path),
            expected="what cafx train --log or --metrics writes, or a log of caffe train",
        )  # fmt: skip
    return curves


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(dir_okay=False), metavar="LOG...")
@click.option("--out", "-o", default="training.png", show_default=True, help="A .png, .svg or .pdf file.")
@click.option("--over", type=click.Choice(["iterations", "seconds"]), default="iterations", show_default=True)
@click.option("--only", multiple=True, metavar="NAME", help="These curves only: loss, test/accuracy, lr, ...")
@click.option("--smooth", type=click.IntRange(1), default=1, show_default=True, help="Mean over N points.")
@click.option("--log-scale", is_flag=True, help="Losses on a logarithmic axis.")
@click.option("--show", is_flag=True, help="Open a window too.")
def plot(
    logs: tuple[str, ...], out: str, over: str, only: tuple[str, ...], smooth: int, log_scale: bool, show: bool
) -> None:
    """Plot the curves of one or several training runs over each other."""
    runs = list(zip(names_of([Path(log) for log in logs]), (read(Path(log)) for log in logs), strict=True))
    names = {name for _, run in runs for name in run.found}
    for unknown in set(only) - names:
        raise CafxError("no log has this curve", found=unknown, expected="one of " + ", ".join(sorted(names)))
    figure = _figure(show)
    draw(figure, runs, over, set(only) or names, smooth, log_scale)
    _save(figure, Path(out))
    click.echo(out)
    if show:
        _open_window(out)


def names_of(logs: list[Path]) -> list[str]:
    """How the runs are called: by their files' names, and no longer than tells them apart."""
    ways = [[log.stem for log in logs], [log.name for log in logs], [str(log.with_suffix("")) for log in logs]]
    return next((names for names in ways if len(set(names)) == len(logs)), [str(log) for log in logs])


def draw(
    figure: Any, runs: list[tuple[str, Curves]], over: str, names: set[str], smooth: int = 1, log_scale: bool = False
) -> None:
    """Fill a figure: a panel each for losses, scores and rates, every run over the others.

    One run has a colour a curve; of several, each has a colour of its own, and the curves differ in style.
    """
    kinds = {curve.label: curve.panel for _, curves in runs for curve in curves.found.values() if curve.label in names}
    panels = [panel for panel in PANELS if panel in kinds.values()]
    figure.set_size_inches(8, 3 * len(panels) + 0.5)
    figure.set_layout_engine("constrained")
    for axes, panel in zip(figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0], panels, strict=True):
        labels = sorted(
            (label for label in kinds if kinds[label] == panel), key=lambda label: (label.startswith("test"), label)
        )
        for number, (run, curves) in enumerate(runs):
            for place, label in enumerate(labels):
                if label in curves.found:
                    told, colour, style = (label, place, 0) if len(runs) == 1 else (f"{run}: {label}", number, place)
                    line = _line(curves.found[label], over, smooth)
                    axes.plot(*line, STYLES[style % len(STYLES)], color=f"C{colour}", label=told, linewidth=1)
                    if label.startswith("test") or len(line[0]) == 1:
                        axes.lines[-1].set(marker="o", markersize=3)
        axes.set_ylabel(LABELS[panel])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        if panel == "lr":
            axes.set_ylim(bottom=0)
        if panel == "loss" and log_scale:
            axes.set_yscale("log")
    axes.set_xlabel(over)


def _figure(shown: bool) -> Any:
    """A figure on its own, or one of a window, which needs a screen."""
    if shown:
        import matplotlib.pyplot as plt

        return plt.figure()
    from matplotlib.figure import Figure

    return Figure()


def _line(curve: Curve, over: str, smooth: int) -> tuple[list[float], list[float]]:
    """What to draw of a curve: where its points lie, and their values."""
    x = [float(point[0 if over == "iterations" else 1]) for point in curve.points]
    return x, _smoothed([point[2] for point in curve.points], smooth)


def _smoothed(values: list[float], width: int) -> list[float]:
    """The mean of each value and the up to ``width - 1`` before it."""
    windows = (values[max(0, i - width + 1) : i + 1] for i in range(len(values)))
    return [sum(window) / len(window) for window in windows]


def _open_window(out: str) -> None:
    import matplotlib.pyplot as plt

    if plt.get_backend().lower() in WINDOWLESS:
        raise CafxError("there is no screen to show it on", remedy=f"look at {out}")
    plt.show()


def _save(figure: Any, path: Path) -> None:
    picture = io.BytesIO()
    try:
        figure.savefig(picture, dpi=DPI, format=path.suffix[1:] or None)
    except ValueError as error:
        raise CafxError(str(error), where=str(path), remedy="name a .png, .svg or .pdf file") from None
    with atomic_write(path) as file:
        file.write(picture.getvalue())


def _read_log(text: str, curves: Curves) -> None:
    iteration, net = 0, 0
    for seconds, said in _timed_lines(text):
        if tested := TESTING.search(said):
            iteration, net = int(tested[1]), int(tested[2])
        elif rate := RATE.search(said):
            curves.add("lr", int(rate[1]), seconds, float(rate[2]))
        elif loss := LOSS.search(said):
            iteration = int(loss[1])
            curves.add("loss", iteration, seconds, float(loss[2]))
        elif output := OUTPUT.search(said):
            prefix = "train" if output[1] == "Train" else f"test{net or ''}"
            if output[1] == "Test" or not output[2].lower().endswith("loss"):
                curves.add(f"{prefix}/{output[2]}", iteration, seconds, float(output[3]))


def _timed_lines(text: str) -> Iterator[tuple[float, str]]:
    """Each log line's text, with the seconds since the first; a new year's day is a later day."""
    start = last = None
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        month, day, hour, minute, second = map(int, match.groups()[:5])
        micro = int(match[6][:6].ljust(6, "0"))
        now = datetime(last.year if last else 2000, month, day, hour, minute, second, micro)
        if last and now < last - timedelta(days=1):
            now = now.replace(year=now.year + 1)
        start, last = start or now, now
        yield (now - start).total_seconds(), match[7]


def _read_csv(text: str, curves: Curves) -> None:
    for row in csv.DictReader(text.splitlines()):
        _add_row(row, curves)


def _read_json(text: str, curves: Curves) -> None:
    for line in text.splitlines():
        _add_row(json.loads(line), curves)


def _add_row(row: dict[str, Any], curves: Curves) -> None:
    iteration, seconds = int(row["iteration"]), float(row["seconds"])
    for name, value in row.items():
        if name not in ("iteration", "seconds") and value not in ("", None):
            curves.add(name, iteration, seconds, float(value))
