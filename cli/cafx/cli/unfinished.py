"""Plugins whose import does not end, or ends the process: found by importing all of them in another process."""

from __future__ import annotations

import os
import selectors
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from cafx.cli.inventory import every_plugin, inventory
from cafx.kernel.registry import Plugin, Registry, installed, using_registry

IMPORTER = """
import importlib, os, sys
for module in sys.argv[2:]:
    try:
        importlib.import_module(module)
    except Exception:
        pass  # the registry reports it
    os.write(int(sys.argv[1]), b".")
"""
"""A program that writes a dot to a descriptor after each import."""


def inventory_within(seconds: float, kind: str | None = None) -> list[dict[str, Any]]:
    """The rows of `cafx.cli.inventory.inventory`, with an error for each plugin whose import does not end.

    Args:
        seconds: the time that an import may take.
        kind: only this kind; None for all.

    Raises:
        UnknownNameError: no such kind.
    """
    plugins = every_plugin(kind)
    points = list(installed())
    reasons = unfinished([point.module for point in points], seconds)
    with using_registry(Registry([point for point in points if point.module not in reasons])):
        rows = inventory(kind)
    return rows + [_row(plugin, reasons[_module(plugin)]) for plugin in plugins if _module(plugin) in reasons]


def unfinished(modules: Iterable[str], seconds: float) -> dict[str, str]:
    """Why modules cannot be imported to the end, by name; those that raise an exception are not among them.

    Args:
        modules: names of modules.
        seconds: the time that an import may take.
    """
    pending = list(dict.fromkeys(modules))
    reasons: dict[str, str] = {}
    while pending:
        done, reason = _import(pending, seconds)
        if done < len(pending):
            reasons[pending[done]] = reason
        del pending[: done + 1]
    return reasons


def _import(modules: list[str], seconds: float) -> tuple[int, str]:
    """Import modules in another process; returns how many imports ended, and what is wrong with the next one."""
    dots, end = os.pipe()
    with (
        subprocess.Popen(  # nosec B603  # our own program, no shell
            [sys.executable, "-c", IMPORTER, str(end), *modules],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=[end],
        ) as process,
        selectors.DefaultSelector() as selector,
    ):
        os.close(end)
        selector.register(dots, selectors.EVENT_READ)
        done, reason = 0, "its import ends the process"
        while done < len(modules):
            if not selector.select(seconds):
                reason = f"its import has not ended after {seconds:g} s"
                break
            received = os.read(dots, len(modules))
            if not received:
                break
            done += len(received)
        process.kill()
    os.close(dots)
    return done, reason


def _row(plugin: Plugin, reason: str) -> dict[str, Any]:
    return {
        "kind": plugin.kind,
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "summary": "",
        "error": f"plugin '{plugin.name}' of {plugin.distribution} {plugin.version}: {reason}; "
        f"remove it: pip uninstall {plugin.distribution}",
    }


def _module(plugin: Plugin) -> str:
    return plugin.value.partition(":")[0]
