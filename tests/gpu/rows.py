"""Results as they come: JSON that a later run continues, and a table."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Row = dict[str, Any]


class Rows:
    """The results of one part, on disk after each of them.

    Args:
        part: name of the files.
        machine: what the results depend on; results of another machine or commit are not continued.
        render: makes the table.
        fresh: start again.
    """

    def __init__(
        self, part: str, machine: Mapping[str, str], render: Callable[[dict[str, Row]], str], *, fresh: bool = False
    ) -> None:
        folder = Path(os.environ["OUT"])
        self._json, self._table = folder / f"{part}.json", folder / f"{part}.txt"
        self._machine, self._render = dict(machine), render
        self.rows: dict[str, Row] = {} if fresh else self._earlier()

    def _earlier(self) -> dict[str, Row]:
        if not self._json.exists():
            return {}
        content = json.loads(self._json.read_text(encoding="utf-8"))
        rows: dict[str, Row] = content["rows"]
        return rows if content["machine"] == self._machine else {}

    def add(self, name: str, row: Row) -> None:
        """Keep a result and write everything to disk."""
        self.rows[name] = row
        self.write()

    def write(self) -> None:
        """Write the files, each at once."""
        content = {"machine": self._machine, "rows": self.rows}
        _replace(self._json, json.dumps(content, indent=1))
        heading = "\n".join(f"{name}: {value}" for name, value in self._machine.items())
        _replace(self._table, f"{heading}\n\n{self._render(self.rows)}\n")


def _replace(path: Path, text: str) -> None:
    temporary = path.with_suffix(".part")
    temporary.write_text(text, encoding="utf-8")
    temporary.replace(path)


def columns(lines: list[list[str]]) -> str:
    """Lines of cells as a table; the first column is left-aligned, the others right-aligned."""
    widths = [max(len(line[index]) for line in lines) for index in range(len(lines[0]))] if lines else []
    return "\n".join(
        "  ".join(
            cell.ljust(width) if index == 0 else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
