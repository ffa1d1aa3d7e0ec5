"""Errors as a line of text, or as several if they list things."""

from __future__ import annotations

import errno
from collections.abc import Sequence

from cafx.cli.streams import printable

NO_MEMORY = ("failed to map segment", "cannot allocate memory", "can't start new thread")
"""How the dynamic linker and Python's threads say that there is no memory left."""
LONGEST = 2000
"""Characters of a message; the middle of a longer one is left out."""


def line_of(error: Exception) -> str:
    r"""What to tell about an error: its message, without line breaks and control characters.

    An error with ``lines`` (`cafx_lib_hints.listed.Listed`) has the breaks between these, and no others.

    Example:
        >>> line_of(OSError(28, "No space left on device", "out.db"))
        'out.db: No space left on device'
        >>> line_of(RuntimeError("can't start new thread"))
        'out of memory; close other programs, or try a smaller batch or fewer threads (--threads)'
        >>> line_of(KeyError("\x1b[31m"))
        "KeyError: '\\x1b[31m' (this is a bug; --debug shows where)"
    """
    from cafx.kernel.errors import CafxError

    if isinstance(error, CafxError):
        lines: Sequence[str] = getattr(error, "lines", ())
        if lines:
            return "\n".join(_one_line(each) for each in lines)
        text = str(error)
    elif _is_no_memory(error):
        text = "out of memory; close other programs, or try a smaller batch or fewer threads (--threads)"
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    else:
        text = f"{type(error).__name__}: {error} (this is a bug; --debug shows where)"
    return _one_line(text)


def value_text(value: object) -> str | None:
    """A value that an error names, as one line of text; None for none."""
    return None if value is None else _one_line(str(value))


def _one_line(text: str) -> str:
    return shortened(printable(" ".join(text.split("\n"))))


def _is_no_memory(error: Exception) -> bool:
    if isinstance(error, MemoryError) or (isinstance(error, OSError) and error.errno == errno.ENOMEM):
        return True
    return isinstance(error, (ImportError, RuntimeError, OSError)) and any(
        text in str(error).lower() for text in NO_MEMORY
    )


def shortened(text: str) -> str:
    """A text of at most `LONGEST` characters."""
    half = LONGEST // 2 - 2
    return text if len(text) <= LONGEST else f"{text[:half]} … {text[-half:]}"
