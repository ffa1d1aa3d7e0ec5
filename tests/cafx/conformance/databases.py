"""The suite of databases under its older name: `cafx.conformance.plugin_suite` of kind ``database``.

>>> TestLMDB = database_suite("LMDB")
"""

from __future__ import annotations

from typing import Any

from cafx.conformance.suite import plugin_suite
from cafx.kernel import Registry


def database_suite(name: str, plugins: Registry | None = None) -> type[Any]:
    """A pytest class that runs the checklist on one kind of database.

    Args:
        name: the kind's name in group ``cafx.databases``.
        plugins: the registry that provides it (default: all installed plugins).
    """
    return plugin_suite("database", name, plugins)
