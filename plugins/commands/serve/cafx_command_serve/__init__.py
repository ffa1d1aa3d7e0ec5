"""``cafx serve``: a net as a web page and a JSON interface."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx_command_serve.command import serve

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__all__ = ["serve"]


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_serve.conformance_cases`."""
    from cafx_command_serve import conformance_cases as own

    return own.cases()
