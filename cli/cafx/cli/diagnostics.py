"""What training and scoring report on standard error besides results: warnings and ``debug_info``."""

from __future__ import annotations

import logging
import sys

import numpy as np

from cafx.cli.colours import ERROR, WARNING, styled
from cafx.cli.streams import printable


class _Line(logging.Formatter):
    """Formats records without control characters, with a coloured level where standard error shows colours."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as text."""
        style = WARNING if record.levelno < logging.ERROR else ERROR
        return f"{styled(f'{record.levelname}:', style, sys.stderr)} {printable(super().format(record))}"


def log_warnings() -> None:
    """Print warnings and errors logged by the kernel and by plugins, one line each."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setLevel(logging.WARNING)
    handler.setFormatter(_Line("%(message)s"))
    log = logging.getLogger("cafx")
    if not log.handlers:
        log.addHandler(handler)


def log_debug_info(*, to_terminal: bool) -> None:
    """Enable ``debug_info``'s log records; a log monitor writes them to its own file."""
    log = logging.getLogger("cafx.net")
    log.setLevel(logging.INFO)
    if to_terminal:
        log.addHandler(logging.StreamHandler(sys.stderr))


def silence_overflow() -> None:
    """Silence NumPy's overflow warnings; non-finite values are reported by name."""
    np.seterr(all="ignore")
