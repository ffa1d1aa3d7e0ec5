"""All checks of the suite: importing this module registers them."""

from __future__ import annotations

from cafx.conformance import (
    checks_declaration,
    checks_engines,
    checks_maths,
    checks_not_finite,
    checks_onnx,
    checks_running,
)
from cafx.conformance.suite import CHECKS, Check

MODULES = (checks_declaration, checks_maths, checks_running, checks_not_finite, checks_engines, checks_onnx)


def load_checks() -> dict[str, Check]:
    """Every check, by id."""
    return CHECKS
