"""Nets, blobs and solvers in notebooks: HTML and SVG without scripts or outside resources."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from typing import Any

import numpy as np

from cafx.kernel import Blob, Net, Solver
from cafx.kernel.blob import shape_text
from cafx_lib_show.picture import bars, line
from cafx_lib_show.table import HEAD, RIGHT, printable, rows_of, total_of

ROWS = 300
"""Layers of a table; of a larger net, the first ones."""
VALUES = 1 << 20
"""Values of a blob that a histogram is made of, evenly spread."""
BINS = 40


def html(thing: Any) -> str | None:
    """A net as a table, a blob as a histogram, a solver with the curve of its loss; None for anything else.

    Args:
        thing: what is shown.

    Example:
        >>> blob = Blob((2, 2), name="<b>")
        >>> blob.set_data([[0, 1], [1, 3]])
        >>> print(html(blob).partition("<svg")[0])
        <div><p>blob '&lt;b&gt;', 2×2 float32, mean 1.25, standard deviation 1.09</p>
    """
    if isinstance(thing, Net):
        return _net(thing)
    if isinstance(thing, Blob):
        return _blob(thing)
    return _solver(thing) if isinstance(thing, Solver) else None


def _text(text: str) -> str:
    return escape(printable(text))


def _net(net: Net) -> str:
    rows = rows_of(net)
    hidden = len(rows) - ROWS
    lines = [_row(row.cells, "td") for row in (*rows[:ROWS], total_of(net, rows))]
    more = f"<p>… {hidden:,} more layers</p>" if hidden > 0 else ""
    title = f"net '{_text(net.name)}' ({net.phase.name}, engine {_text(net.engine.name)})"
    body = f"<thead>{_row(HEAD, 'th')}</thead><tbody>{''.join(lines)}</tbody>"
    return f"<div><p>{title}</p><table>{body}</table>{more}</div>"


def _row(cells: Sequence[str], tag: str) -> str:
    sides = ("left" if index < RIGHT else "right" for index in range(len(cells)))
    pairs = zip(cells, sides, strict=True)
    return f"<tr>{''.join(_cell(cell, tag, side) for cell, side in pairs)}</tr>"


def _cell(text: str, tag: str, side: str) -> str:
    return f'<{tag} style="text-align:{side}">{escape(text)}</{tag}>'


def _blob(blob: Blob) -> str:
    title = f"blob '{_text(blob.name)}', {shape_text(blob.shape)} {blob.dtype}"
    if not blob.synced_data.current or not blob.count_:
        return f"<div><p>{title}, without values</p></div>"
    values = _values(blob)
    finite = values[np.isfinite(values)].astype(np.float64)
    if not finite.size:
        return f"<div><p>{title}, no finite value</p></div>"
    title += f", mean {finite.mean():.3g}, standard deviation {finite.std():.3g}"
    bad = values.size - finite.size
    title += f", {bad:,} NaN or infinite" if bad else ""
    counts, edges = np.histogram(finite, BINS)
    picture = bars(counts.tolist(), float(edges[0]), float(edges[-1]), f"histogram of {finite.size:,} values")
    return f"<div><p>{title}</p>{picture}</div>"


def _values(blob: Blob) -> Any:
    """Some of the values, on the host."""
    step = -(-blob.count_ // VALUES)
    values = blob.data.reshape(-1)[::step]
    return values if isinstance(values, np.ndarray) else values.get()


def _solver(solver: Solver) -> str:
    options = solver.options
    at = f"iteration {solver.iter:,} of {options.max_iter:,}"
    title = f"solver {_text(options.type)}, policy {_text(options.lr_policy)}, {at}, net '{_text(solver.net.name)}'"
    points = [point for point in (solver.curve.points() if solver.curve else ()) if np.isfinite(point[1])]
    picture = line(points, f"loss of {len(points):,} iterations") if len(points) > 1 else ""
    return f"<div><p>{title}</p>{picture}</div>"
