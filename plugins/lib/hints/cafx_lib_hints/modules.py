"""Python modules of forks' repositories, whose layers a distribution replaces."""

from __future__ import annotations

import sys
from importlib.machinery import PathFinder
from pathlib import Path

from cafx_lib_hints.known import Known


def replacements(module: str) -> list[str]:
    """The distributions that replace the layers of a module and are not installed.

    Args:
        module: its name, or that of a package it is in.
    """
    known = Known.read().distributions([("module", module)])
    return [each for each in known if not importable(each.replace("-", "_"))]


def importable(module: str) -> bool:
    """Whether a module's outermost package is on the module search path or in the working directory.

    Example:
        >>> importable("json.decoder"), importable("rpn.proposal_layer")
        (True, False)
    """
    outermost = module.partition(".")[0]
    return outermost in sys.modules or PathFinder.find_spec(outermost, [*sys.path, str(Path.cwd())]) is not None
