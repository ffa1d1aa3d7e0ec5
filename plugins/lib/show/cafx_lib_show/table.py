"""The layers of a net as rows, and as a table in text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import attrs

from cafx.kernel import Net
from cafx.kernel.blob import shape_text
from cafx.kernel.net import SPLIT_ROLE

HEAD = ("layer", "type", "bottoms", "tops", "parameters", "multiply-adds")
RIGHT = 4
"""Columns from here on are numbers."""
LONGEST = 48
"""Characters of a cell; the middle of a longer one is left out."""


@attrs.frozen
class Row:
    """One layer.

    Attributes:
        name, type: of the layer.
        bottoms: names of its bottoms.
        tops: its tops with their shapes.
        parameters: number of values in its parameters.
        multiply_adds: of a forward pass.
    """

    name: str
    type: str
    bottoms: str
    tops: str
    parameters: int
    multiply_adds: int

    @property
    def cells(self) -> tuple[str, ...]:
        """The row as text; names are shortened, and their control characters escaped."""
        texts = (self.name, self.type, self.bottoms, self.tops)
        counts = (f"{count:,}" if count else "" for count in (self.parameters, self.multiply_adds))
        return (*(shortened(printable(text)) for text in texts), *counts)


def rows_of(net: Net) -> list[Row]:
    """One row per layer, without the layers that the net has inserted to share a blob among its readers.

    Args:
        net: the net.
    """
    inserted = net.plugins.role(SPLIT_ROLE)
    written: dict[str, str] = {}
    rows = []
    for planned in net.program.plan.layers:
        layer = planned.layer
        if layer.type == inserted and layer.name.endswith("_split"):
            source = written.get(planned.bottoms[0].name, planned.bottoms[0].name)
            written |= {top.name: source for top in planned.tops}
            continue
        tops = ", ".join(f"{top.name} {shape_text(top.shape)}" for top in planned.tops)
        bottoms = ", ".join(written.get(bottom.name, bottom.name) for bottom in planned.bottoms)
        size = sum(blob.count_ for blob in layer.blobs)
        rows.append(Row(layer.name, layer.type, bottoms, tops, size, layer.multiply_adds(list(planned.bottoms))))
    return rows


def total_of(net: Net, rows: Sequence[Row]) -> Row:
    """The sums over a net; parameters that layers share count once.

    Args:
        net: the net.
        rows: its rows.
    """
    size = sum(each.blob.count_ for each in net.parameters if each.owner is None)
    return Row("total", "", "", "", size, sum(row.multiply_adds for row in rows))


def summary(net: Net) -> str:
    """A table of a net's layers: type, bottoms, tops with shapes, parameters and multiply-adds.

    Args:
        net: the net.

    Example:
        >>> from cafx.kernel import schema
        >>> text = '''
        ... name: "tiny" layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
        ... layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 4 } }'''
        >>> print(summary(Net(schema().parse_text(text, "NetParameter"), engine="numpy")))
        net 'tiny' (TEST)
        layer  type          bottoms  tops   parameters  multiply-adds
        x      Input                  x 2×3
        ip     InnerProduct  x        y 2×4          16             24
        total                                        16             24
    """
    rows = rows_of(net)
    cells = [HEAD, *(row.cells for row in (*rows, total_of(net, rows)))]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    title = f"net '{printable(net.name)}' ({net.phase.name})"
    return "\n".join([title, *_aligned(cells, widths)])


def _aligned(cells: Sequence[Sequence[str]], widths: Sequence[int]) -> Iterator[str]:
    for row in cells:
        columns = enumerate(zip(row, widths, strict=True))
        yield "  ".join(text.rjust(n) if i >= RIGHT else text.ljust(n) for i, (text, n) in columns).rstrip()


def printable(text: str) -> str:
    """A text with control characters escaped.

    Args:
        text: the text.
    """
    return "".join(each if each.isprintable() else repr(each)[1:-1] for each in text)


def shortened(text: str) -> str:
    """A text of at most `LONGEST` characters.

    Args:
        text: the text.
    """
    half = LONGEST // 2 - 1
    return text if len(text) <= LONGEST else f"{text[:half]}…{text[-half:]}"
