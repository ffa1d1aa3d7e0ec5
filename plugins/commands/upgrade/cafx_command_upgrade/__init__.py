"""``cafx upgrade``: nets, solvers and weights files in Caffe's older formats, and in those of its forks."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx_command_upgrade.command import is_solver, upgrade, upgraded

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__version__ = "0.1.0"
__all__ = ["is_solver", "upgrade", "upgraded"]


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_upgrade.conformance_cases`."""
    from cafx_command_upgrade import conformance_cases as own

    return own.cases()
