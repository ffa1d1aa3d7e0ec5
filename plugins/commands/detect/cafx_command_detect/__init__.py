"""``cafx detect``: objects in images, found by scoring windows, as in R-CNN."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx_command_detect.command import detect

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__all__ = ["detect"]


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_detect.conformance_cases`."""
    from cafx_command_detect import conformance_cases as own

    return own.cases()
