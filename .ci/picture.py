"""Write the README's picture of a terminal: uv run python .ci/picture.py.

It runs the commands that it shows, and is made anew when their output changes.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

from rich._export_format import CONSOLE_SVG_FORMAT
from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).resolve().parents[1]
PICTURE = ROOT / ".github/terminal.svg"
COLUMNS = 118
ERASE_LINE, CURSOR = "\x1b[2K", re.compile(r"\x1b\[\?25[lh]")
LEFT_OUT = ("Trained", "State:", "  cafx ", "Next:", "in use while", "conversions between", "inputs:", "blobs:")
"""Beginnings of lines that would make the picture long."""
FONT_FACE = re.compile(r"@font-face \{\{.*?\}\}\s*", re.DOTALL)
"""Fonts from another server, which a picture in a page cannot load: the page's own are used."""
SCRIPT = ("cafx train digits/net.py", "cafx net digits/net.py")


def lines_of(command: str, folder: Path) -> Iterator[str]:
    """What is left on the terminal when a command has ended, with its colours."""
    settings = {**os.environ, "FORCE_COLOR": "1", "COLUMNS": str(COLUMNS), "PYTHONUTF8": "1"}
    words = [str(Path(sys.executable).with_name("cafx")), *shlex.split(command)[1:]]
    run = subprocess.run(words, cwd=folder, env=settings, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, check=True)
    for line in _drawn(run.stdout.decode()):
        if not line.startswith(LEFT_OUT):
            yield line


def _drawn(text: str) -> Iterator[str]:
    """Lines as a terminal shows them: what follows the last erasure of each."""
    for line in CURSOR.sub("", text).split("\n"):
        shown = line.rpartition(ERASE_LINE)[2].rstrip("\r")
        if shown:
            yield shown


def picture() -> str:
    """The terminal with the commands and their output, as SVG."""
    console = Console(record=True, width=COLUMNS, file=StringIO(), force_terminal=True, color_system="truecolor")
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        (folder / "digits").mkdir()
        for path in (ROOT / "contrib/examples/digits").glob("*.py"):
            (folder / "digits" / path.name).write_bytes(path.read_bytes())
        for command in SCRIPT:
            console.print(Text.assemble(("$ ", "bold green"), (command, "bold")))
            for line in lines_of(command, folder):
                console.print(Text.from_ansi(line), overflow="crop", no_wrap=True)
            console.print()
    style = FONT_FACE.sub("", CONSOLE_SVG_FORMAT).replace("Fira Code", "ui-monospace, Menlo, Consolas")
    return console.export_svg(title="cafx", code_format=style, unique_id="cafx")


if __name__ == "__main__":
    PICTURE.write_text(picture(), "utf-8")
