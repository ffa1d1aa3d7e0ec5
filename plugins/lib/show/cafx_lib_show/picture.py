"""Small SVG pictures: a histogram, a curve. Text and axes have the colour of the page."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

WIDTH, HEIGHT = 480, 160
LEFT, BOTTOM, TOP = 56, 20, 8
COLOUR = "#3b82d4"


def bars(counts: Sequence[int], low: float, high: float, label: str) -> str:
    """A histogram.

    Args:
        counts: values per bin.
        low, high: where the bins begin and end.
        label: what is shown.

    Example:
        >>> bars([1, 3], 0, 1, "two bins").count("<rect")
        2
    """
    most = max(*counts, 1)
    width = (WIDTH - LEFT) / len(counts)
    drawn = []
    for index, count in enumerate(counts):
        height = count / most * (HEIGHT - TOP - BOTTOM)
        x, y = LEFT + index * width, HEIGHT - BOTTOM - height
        drawn.append(f'<rect x="{x:.1f}" y="{y:.1f}" width="{max(width - 1, 1):.1f}" height="{height:.1f}"/>')
    return _svg(f'<g fill="{COLOUR}">{"".join(drawn)}</g>', (f"{low:.3g}", f"{high:.3g}"), ("0", f"{most:,}"), label)


def line(points: Sequence[tuple[float, float]], label: str) -> str:
    """A curve; values far above all others are cut off.

    Args:
        points: at least two, by increasing x.
        label: what is shown.

    Example:
        >>> "<polyline" in line([(0, 2.0), (10, 1.0)], "loss")
        True
    """
    ordered = sorted(y for _, y in points)
    low, high = ordered[0], ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))]
    span = high - low or abs(high) or 1.0
    first, last = points[0][0], points[-1][0]
    across = (WIDTH - LEFT) / ((last - first) or 1)
    up = (HEIGHT - TOP - BOTTOM) / span
    drawn = " ".join(
        f"{LEFT + (x - first) * across:.1f},{HEIGHT - BOTTOM - (min(y, high) - low) * up:.1f}" for x, y in points
    )
    curve = f'<polyline points="{drawn}" fill="none" stroke="{COLOUR}" stroke-width="1.5"/>'
    return _svg(curve, (f"{first:,}", f"{last:,}"), (f"{low:.3g}", f"{low + span:.3g}"), label)


def _svg(drawn: str, across: tuple[str, str], up: tuple[str, str], label: str) -> str:
    """A picture with its axes, and the first and last value of each."""
    base = HEIGHT - BOTTOM
    axes = f'<path d="M{LEFT} {TOP}V{base}H{WIDTH}" fill="none" stroke="currentColor" opacity="0.5"/>'
    texts = (
        (LEFT, HEIGHT - 5, "start", across[0]),
        (WIDTH, HEIGHT - 5, "end", across[1]),
        (LEFT - 4, base, "end", up[0]),
        (LEFT - 4, TOP + 8, "end", up[1]),
    )
    labels = "".join(f'<text x="{x}" y="{y}" text-anchor="{side}">{escape(text)}</text>' for x, y, side, text in texts)
    text = f'<g fill="currentColor" font-family="sans-serif" font-size="11">{labels}</g>'
    head = f'role="img" aria-label="{escape(label)}" width="{WIDTH}" height="{HEIGHT}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {head}>{drawn}{axes}{text}</svg>'
