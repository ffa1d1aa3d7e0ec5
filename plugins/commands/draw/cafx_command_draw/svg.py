"""A picture as SVG, without Graphviz."""

from __future__ import annotations

import unicodedata
from html import escape

import attrs

from .layered import Layout, Point, arrange
from .picture import Cell, Picture

COLOURS = {"data": "#cfe8cf", "loss": "#f6c8c8", "weights": "#c9dcf3", "other": "#ececec"}
LARGE, SMALL = 11.0, 9.0
"""Sizes of text, in pixels."""
LETTER, BOLD_LETTER = 0.56, 0.6
"""Mean width of a letter, as a fraction of its size."""
LEADING = 1.25
PADDING, MARGIN = 6.0, 12.0
HEAD = """<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height:.0f}" \
viewBox="0 0 {width:.0f} {height:.0f}" role="img" font-family="Helvetica, Arial, sans-serif" text-anchor="middle">
<title>{title}</title>
<defs><marker id="arrow" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" orient="auto">\
<path d="M0 0.5 8 4 0 7.5z" fill="#555555"/></marker></defs>
<rect width="100%" height="100%" fill="#ffffff"/>
"""


@attrs.frozen
class _Text:
    """A line of text.

    Attributes:
        text: the text.
        size: in pixels.
        bold: whether it is bold.
    """

    text: str
    size: float
    bold: bool = False

    @property
    def width(self) -> float:
        """An estimate that is rather too large; letters of East Asia are twice as wide."""
        letters = sum(1 + (unicodedata.east_asian_width(each) in "WF") for each in self.text)
        return letters * self.size * (BOLD_LETTER if self.bold else LETTER)


def svg_of(picture: Picture) -> str:
    """The drawing: layers as coloured boxes, blobs as text between them.

    Args:
        picture: what is drawn.
    """
    stacks = list(picture.stacks)
    blobs = list(dict.fromkeys((edge.start, edge.lines) for edge in picture.edges))
    keys = sorted([(stack, ()) for stack in stacks] + blobs, key=lambda key: (key[0], bool(key[1])))
    number = {key: index for index, key in enumerate(keys)}
    sizes = [_size_of_stack(picture.stacks[stack]) if not lines else _size(_blob(lines)) for stack, lines in keys]
    edges = [(number[start, ()], number[start, lines]) for start, lines in blobs]
    edges += [(number[e.start, e.lines], number[e.end, ()]) for e in picture.edges if e.end is not None]
    edges = list(dict.fromkeys(edges))
    sideways = picture.rankdir in ("LR", "RL")
    layout = arrange([size[::-1] if sideways else size for size in sizes], edges)
    place = _Placing(picture.rankdir, layout)
    drawn = [_edge(place, sizes, edge, is_blob=bool(keys[edge[1]][1])) for edge in edges]
    for (stack, lines), size, centre in zip(keys, sizes, layout.centres, strict=True):
        at = place.point(centre)
        drawn += _drawn_lines(_blob(lines), at) if lines else _drawn_stack(picture.stacks[stack], size, at)
    width, height = place.size
    head = HEAD.format(width=width, height=height, title=escape(picture.name))
    return head + "\n".join(drawn) + "\n</svg>\n"


class _Placing:
    """Points of a layout from top to bottom, turned to the direction of data flow.

    Args:
        rankdir: the direction.
        layout: the layout.
    """

    def __init__(self, rankdir: str, layout: Layout) -> None:
        self.rankdir = rankdir
        self.layout = layout
        self.sideways = rankdir in ("LR", "RL")

    @property
    def size(self) -> Point:
        """Width and height of the drawing, margins included."""
        across, along = self.layout.width + 2 * MARGIN, self.layout.height + 2 * MARGIN
        return (along, across) if self.sideways else (across, along)

    def point(self, point: Point) -> Point:
        """A point of the layout in the drawing."""
        across, along = point[0] + MARGIN, point[1]
        along = MARGIN + (self.layout.height - along if self.rankdir in ("BT", "RL") else along)
        return (along, across) if self.sideways else (across, along)


def _edge(place: _Placing, sizes: list[Point], edge: tuple[int, int], *, is_blob: bool) -> str:
    """A line from the lower side of one node, along its route, to the upper side of the other."""
    along = 0 if place.sideways else 1
    centres = place.layout.centres
    start = (centres[edge[0]][0], centres[edge[0]][1] + sizes[edge[0]][along] / 2)
    end = (centres[edge[1]][0], centres[edge[1]][1] - sizes[edge[1]][along] / 2)
    points = [*place.layout.routes[edge], end]
    commands = [f"M{_xy(place.point(start))}"]
    for leaving, entering in zip(points[::2], points[1::2], strict=True):
        commands += [f"L{_xy(place.point(leaving))}", _curve(place, leaving, entering)]
    arrow = "" if is_blob else ' marker-end="url(#arrow)"'
    return f'<path d="{" ".join(commands)}" fill="none" stroke="#555555"{arrow}/>'


def _curve(place: _Placing, start: Point, end: Point) -> str:
    """A curve that leaves and arrives in the direction of data flow."""
    middle = (start[1] + end[1]) / 2
    points = ((start[0], middle), (end[0], middle), end)
    return "C" + " ".join(_xy(place.point(each)) for each in points)


def _xy(point: Point) -> str:
    return f"{point[0]:.1f},{point[1]:.1f}"


def _texts(cell: Cell) -> list[_Text]:
    details = [_Text(detail, SMALL) for detail in cell.details]
    return [_Text(cell.name, LARGE, bold=True), _Text(cell.type, LARGE), *details]


def _blob(lines: tuple[str, ...]) -> list[_Text]:
    return [_Text(line, SMALL) for line in lines]


def _size(texts: list[_Text]) -> Point:
    return max(text.width for text in texts), sum(text.size * LEADING for text in texts)


def _size_of_stack(cells: list[Cell]) -> Point:
    sizes = [_size(_texts(cell)) for cell in cells]
    return max(width for width, _ in sizes) + 2 * PADDING, sum(height + 2 * PADDING for _, height in sizes)


def _drawn_stack(cells: list[Cell], size: Point, centre: Point) -> list[str]:
    """The layers of a stack, from top to bottom."""
    drawn, (width, height) = [], size
    top = centre[1] - height / 2
    for cell in cells:
        texts = _texts(cell)
        own = _size(texts)[1] + 2 * PADDING
        box = f'x="{centre[0] - width / 2:.1f}" y="{top:.1f}" width="{width:.1f}" height="{own:.1f}"'
        drawn.append(f'<rect {box} rx="3" fill="{COLOURS[cell.kind]}" stroke="#555555"/>')
        drawn += _drawn_lines(texts, (centre[0], top + own / 2))
        top += own
    return drawn


def _drawn_lines(texts: list[_Text], centre: Point) -> list[str]:
    """Lines of text below each other, around a centre."""
    drawn, top = [], centre[1] - _size(texts)[1] / 2
    for text in texts:
        base = top + text.size
        weight = ' font-weight="bold"' if text.bold else ""
        at = f'x="{centre[0]:.1f}" y="{base:.1f}" font-size="{text.size:g}"{weight}'
        drawn.append(f"<text {at}>{escape(text.text)}</text>")
        top += text.size * LEADING
    return drawn
