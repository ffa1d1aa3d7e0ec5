"""Caffe's log on standard error: lines with glog's prefix, as log parsers read them.

Lines appear as soon as a net or solver is created. ``GLOG_minloglevel`` and `init_log` set the least severity;
`to_file` names a file for the log.
"""

from __future__ import annotations

import logging
import os
import sys
import threading
from datetime import datetime
from os import PathLike, fspath
from pathlib import Path
from typing import Any, TextIO

from cafx.kernel import CafxError
from cafx.kernel.net import Copied
from cafx_monitor_log import Log

VARIABLE = "GLOG_minloglevel"
INFO, WARNING, ERROR, FATAL = range(4)
LETTERS = "IWEF"
NET, COMMON, SOLVER = "net.cpp:749", "common.cpp:44", "solver.cpp:57"
"""Source files and lines that Caffe's log names."""
LOGGERS = ("caffe", "cafx")
DEBUG_INFO = "cafx.net"


class _Settings:
    """The least severity to write, None until `init_log` sets it, and the file to write to, if not standard error."""

    level: int | None = None
    file: TextIO | None = None


def level() -> int:
    """The least severity that is written: as set by `init_log`, else ``GLOG_minloglevel``, else INFO."""
    if _Settings.level is not None:
        return _Settings.level
    stated = os.environ.get(VARIABLE, "")
    return int(stated) if stated.isdecimal() else INFO


def init_log(level: int = INFO, to_stderr: bool = True) -> None:
    """Write only log lines of a least severity.

    Args:
        level: 0 (info), 1 (warning), 2 (error) or 3 (fatal).
        to_stderr: accepted for compatibility; the log is always written to standard error.
    """
    _Settings.level = int(level)
    enable()


def to_file(base: str | PathLike[str] | None) -> None:
    """Write the log to a file from now on, instead of standard error.

    Args:
        base: path of the file, to which date, time and process number are appended; None for standard error again.

    Raises:
        CafxError: it cannot be written.
    """
    if _Settings.file is not None:
        _Settings.file.close()
    _Settings.file = None
    if base is None:
        return
    path = Path(f"{fspath(base)}{datetime.now().astimezone():%Y%m%d-%H%M%S}.{os.getpid()}")
    try:
        _Settings.file = path.open("a", encoding="utf-8", errors="surrogateescape")
    except OSError as error:
        raise CafxError(f"cannot be written: {error.strerror}", where=str(path)) from None
    enable()


def log(message: str) -> None:
    """Write a line of severity INFO to the log."""
    line(INFO, "pycaffe.cpp:1", message)


def line(severity: int, source: str, text: str) -> None:
    """Write one line of the log, unless its severity is too low.

    Args:
        severity: `INFO`, `WARNING`, `ERROR` or `FATAL`.
        source: file and line, as in ``solver.cpp:239``.
        text: the rest of the line.
    """
    if severity < level():
        return
    now = datetime.now().astimezone()
    stamp = f"{LETTERS[min(severity, FATAL)]}{now:%m%d %H:%M:%S.%f} {threading.get_native_id():5d} {source}]"
    stream = _Settings.file or sys.stderr
    stream.write(f"{stamp} {text}\n")
    stream.flush()


def report_copied(copied: Copied) -> None:
    """Write a line for each layer of a weights file that the net does not have."""
    for name in copied.unused:
        line(INFO, NET, f"Ignoring source layer {name}")


class SolverLog(Log):
    """The log of training: losses, outputs, learning rates, test scores, snapshots."""

    def __init__(self) -> None:
        super().__init__()
        self.debug_info = logging.NullHandler()  # records of debug_info reach every net's log, not a solver's

    def line(self, source: str, text: str) -> None:
        """Write one line of severity INFO."""
        line(INFO, source, text)


class _Handler(logging.Handler):
    """Writes the records of cafx's loggers to the log."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write one record."""
        severity = min(max(record.levelno // 10 - 2, INFO), FATAL)
        line(severity, NET if record.name == DEBUG_INFO else COMMON, record.getMessage())


_handler: Any = _Handler(logging.INFO)


def enable() -> None:
    """Write the records of cafx's loggers to the log, those of ``debug_info`` included."""
    for name in LOGGERS:
        logger = logging.getLogger(name)
        if _handler not in logger.handlers:
            logger.addHandler(_handler)
    logging.getLogger(DEBUG_INFO).setLevel(logging.INFO)
