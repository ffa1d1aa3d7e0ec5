"""``cafx plot training``: curves of loss, scores and learning rate from logs of cafx and Caffe."""

from __future__ import annotations

import csv
import json
import re
from collections.abc import Callable, Iterator
from datetime import datetime, timedelta
from math import isfinite
from pathlib import Path
from typing import Any

import attrs
import click

from cafx.kernel.errors import CafxError
from cafx_lib_pictures import matplotlib, save_figure

LINE = re.compile(r"[IWEF](?:\d{4})?(\d{2})(\d{2}) (\d{2}):(\d{2}):(\d{2})\.(\d+)\s+\d+ [^\]]+\] (.*)")
LOSS = re.compile(r"Iteration (\d+).*?, loss = (\S+)")
RATE = re.compile(r"Iteration (\d+), lr = (\S+)")
TESTING = re.compile(r"Iteration (\d+), Testing net \(#(\d+)\)")
OUTPUT = re.compile(r"(Train|Test) net output #\d+: (\S+) = ([^\s,]+)")
PANELS = ("loss", "score", "lr")
LABELS = {"loss": "loss", "score": "score", "lr": "learning rate"}
DPI = 120
STYLES = ("-", "--", ":", "-.")
TAIL, ROOM = 0.02, 0.08
"""Share of the values, at each end, that may lie outside of an axis; the rest of a panel's height."""
FAR = 1.0
"""How far outside, in heights of the others, values lie that are left outside."""
FILE_BACKENDS = ("agg", "cairo", "pdf", "pgf", "ps", "svg", "template")
"""Backends of matplotlib without windows."""


@attrs.define
class Curve:
    """One quantity over a run.

    Attributes:
        panel: ``"loss"``, ``"score"`` or ``"lr"``.
        label: the curve's name.
        points: iteration, seconds since the start of the run, and value of each point.
    """

    panel: str
    label: str
    points: list[tuple[int, float, float]] = attrs.field(factory=list)


@attrs.define
class Curves:
    """The curves of one log, by name."""

    by_name: dict[str, Curve] = attrs.field(factory=dict)

    def add(self, name: str, iteration: int, seconds: float, value: float) -> None:
        """Add a point to the curve called ``name``; the name determines the panel."""
        panel = "lr" if name == "lr" else "loss" if "loss" in name.lower() else "score"
        self.by_name.setdefault(name, Curve(panel, name)).points.append((iteration, seconds, value))


def read(path: Path) -> Curves:
    """The curves in a log.

    Args:
        path: a metrics file (CSV or JSON lines), or a log in Caffe's format.

    Raises:
        CafxError: the file cannot be read, is damaged, or contains no curve.
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
    if not curves.by_name:
        raise CafxError(
            "contains no curve",
            where=str(path),
            expected="a file written by cafx train --log or --metrics, or a log of caffe train",
        )
    return curves


@click.command()
@click.argument("logs", nargs=-1, required=True, type=click.Path(dir_okay=False), metavar="LOG...")
@click.option(
    "--out", "-o", metavar="FILE", default="training.png", show_default=True, help="A .png, .svg or .pdf file."
)
@click.option(
    "--over",
    type=click.Choice(["iterations", "seconds"]),
    default="iterations",
    show_default=True,
    help="Horizontal axis.",
)
@click.option("--only", multiple=True, metavar="NAME", help="Plot only these curves: loss, test/accuracy, lr, …")
@click.option(
    "--smooth",
    type=click.IntRange(1),
    metavar="N",
    default=1,
    show_default=True,
    help="Moving average of training curves over N points; test scores stay as they are.",
)
@click.option("--log-scale", is_flag=True, help="Logarithmic axis for losses.")
@click.option("--show", is_flag=True, help="Also open a window.")
def training(
    logs: tuple[str, ...], out: str, over: str, only: tuple[str, ...], smooth: int, log_scale: bool, show: bool
) -> None:
    """Plot the curves of one or several training runs on shared axes; 'cafx plot LOG...' is the same.

    \b
    Examples:
    cafx plot training run.csv
    cafx plot training first.log second.log --only loss --smooth 20
    """
    runs = list(zip(names_of([Path(log) for log in logs]), (read(Path(log)) for log in logs), strict=True))
    names = {name for _, run in runs for name in run.by_name}
    for unknown in set(only) - names:
        raise CafxError("no log has this curve", found=unknown, expected="one of " + ", ".join(sorted(names)))
    figure = _figure(show)
    draw(figure, runs, over, set(only) or names, smooth, log_scale)
    save_figure(figure, out, DPI)
    click.echo(out)
    if show:
        _open_window(out)


def names_of(logs: list[Path]) -> list[str]:
    """Names of runs: the shortest part of each path that distinguishes them."""
    candidates = [[log.stem for log in logs], [log.name for log in logs], [str(log.with_suffix("")) for log in logs]]
    return next((names for names in candidates if len(set(names)) == len(logs)), [str(log) for log in logs])


def draw(
    figure: Any, runs: list[tuple[str, Curves]], over: str, names: set[str], smooth: int = 1, log_scale: bool = False
) -> None:
    """Draw runs into a figure, with one panel each for losses, scores and learning rates.

    With one run, each curve has its own colour. With several, each run has its own colour, and curves differ in
    line style.

    Args:
        figure: a matplotlib figure.
        runs: name and curves of each run.
        over: horizontal axis, ``"iterations"`` or ``"seconds"``.
        names: curves to draw.
        smooth: width of the moving average, in points.
        log_scale: logarithmic axis for losses.
    """
    kinds = {
        curve.label: curve.panel for _, curves in runs for curve in curves.by_name.values() if curve.label in names
    }
    panels = [panel for panel in PANELS if panel in kinds.values()]
    figure.set_size_inches(8, 3 * len(panels) + 0.5)
    figure.set_layout_engine("constrained")
    for axes, panel in zip(figure.subplots(len(panels), squeeze=False, sharex=True)[:, 0], panels, strict=True):
        labels = sorted((label for label in kinds if kinds[label] == panel), key=lambda label: (is_test(label), label))
        is_tested: list[bool] = []
        for number, (run, curves) in enumerate(runs):
            for position, label in enumerate(labels):
                if label in curves.by_name:
                    text, colour, style = (
                        (label, position, 0) if len(runs) == 1 else (f"{run}: {label}", number, position)
                    )
                    line = _line(curves.by_name[label], over, 1 if is_test(label) else smooth)
                    axes.plot(*line, STYLES[style % len(STYLES)], color=f"C{colour}", label=text, linewidth=1)
                    is_tested.append(is_test(label))
                    if is_test(label) or len(line[0]) == 1:
                        axes.lines[-1].set(marker="o", markersize=3)
        axes.set_ylabel(LABELS[panel])
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
        if panel == "lr":
            axes.set_ylim(bottom=0)
        if panel == "loss" and log_scale:
            axes.set_yscale("log")
        elif panel == "loss":
            _fit(axes, is_tested)
    axes.set_xlabel(over)


def is_test(label: str) -> bool:
    """Whether a curve is of a test net, whose points are neither smoothed nor left outside of the axes."""
    return label.startswith("test")


def _fit(axes: Any, is_tested: list[bool]) -> None:
    """Fit the vertical axis to most of the values, all tests included, and say how many values it does not show."""
    finite = [[value for value in line.get_ydata() if isfinite(value)] for line in axes.lines]
    values = [value for each in finite for value in each]
    kept = [value for each, tested in zip(finite, is_tested, strict=True) if tested for value in each]
    limits = limits_of(values, kept)
    if limits is None:
        return
    low, high = limits
    axes.set_ylim(low, high)
    outside = sum(not low <= value <= high for value in values)
    place = {"ha": "right", "va": "top", "fontsize": "x-small", "color": "#555555"}
    text = f"{outside} point{'s' * (outside != 1)} outside"
    axes.text(0.995, -0.02, text, transform=axes.transAxes, **place)


def limits_of(values: list[float], kept: list[float]) -> tuple[float, float] | None:
    """Limits of an axis that leaves outside a few values which lie far from all others; None if there are none.

    Args:
        values: finite values.
        kept: those of them that must be inside.

    Example:
        >>> limits_of([87.3] + [2.0, 1.0] * 100, [])
        (0.92, 2.08)
        >>> limits_of([3.0, 2.0, 1.0], [])
    """
    ordered = sorted(values)
    tail = int(len(ordered) * TAIL)
    inner = [*ordered[tail : len(ordered) - tail], *kept]
    if not tail or max(inner) == min(inner):
        return None
    low, high = min(inner), max(inner)
    height = high - low
    if low - ordered[0] <= FAR * height and ordered[-1] - high <= FAR * height:
        return None
    low = min(low, ordered[0]) if low - ordered[0] <= FAR * height else low
    high = max(high, ordered[-1]) if ordered[-1] - high <= FAR * height else high
    return low - ROOM * height, high + ROOM * height


def _figure(shown: bool) -> Any:
    """An empty figure; one in a window needs a screen."""
    if shown:
        return matplotlib("pyplot").figure()
    return matplotlib("figure").Figure()


def _line(curve: Curve, over: str, smooth: int) -> tuple[list[float], list[float]]:
    """Coordinates of a curve."""
    x = [float(point[0 if over == "iterations" else 1]) for point in curve.points]
    return x, _smoothed([point[2] for point in curve.points], smooth)


def _smoothed(values: list[float], width: int) -> list[float]:
    """The trailing moving average over up to ``width`` values; what is not finite stays so, and counts nowhere else."""
    windows = ([each for each in values[max(0, i - width + 1) : i + 1] if isfinite(each)] for i in range(len(values)))
    means = (sum(window) / len(window) if window else 0.0 for window in windows)
    return [mean if isfinite(value) else value for mean, value in zip(means, values, strict=True)]


def _open_window(out: str) -> None:
    plt = matplotlib("pyplot")
    if plt.get_backend().lower() in FILE_BACKENDS:
        raise CafxError("no screen to open a window on", remedy=f"open {out}")
    plt.show()


def _read_log(text: str, curves: Curves) -> None:
    iteration, net = 0, 0
    for seconds, message in _timed_lines(text):
        if tested := TESTING.search(message):
            iteration, net = int(tested[1]), int(tested[2])
        elif rate := RATE.search(message):
            curves.add("lr", int(rate[1]), seconds, float(rate[2]))
        elif loss := LOSS.search(message):
            iteration = int(loss[1])
            curves.add("loss", iteration, seconds, float(loss[2]))
        elif output := OUTPUT.search(message):
            prefix = "train" if output[1] == "Train" else f"test{net or ''}"
            if output[1] == "Test" or not output[2].lower().endswith("loss"):
                curves.add(f"{prefix}/{output[2]}", iteration, seconds, float(output[3]))


def _timed_lines(text: str) -> Iterator[tuple[float, str]]:
    """Seconds since the first line, and text, of each line; a date far in the past is in the next year."""
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
