"""Engines and their devices: what there is, what is missing, and the engine that ``--gpu`` means."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Collection
from typing import Any

import attrs

from cafx.kernel import CafxError, Engine, registry
from cafx.kernel.net import available_engine, chosen_engine, why_no_gpu
from cafx.kernel.registry import Plugin

DRIVER = "nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1"
"""The library that an NVIDIA driver brings."""
GPU_EXTRA = "cafx[cuda]"
SEE = "'cafx device' shows what there is"


def gpu_engine(name: str | None, gpu: int) -> str:
    """The engine that ``--gpu`` means: the one named, else the best available that runs on a GPU.

    A GPU engine that CAFX_ENGINE or `set_engine` names comes before the best.

    Args:
        name: the engine named by ``--engine``; None if there is none.
        gpu: the number given, for errors.

    Raises:
        CafxError: the engine named does not run on a GPU, or none can run here.
    """
    if name and not _runs_on_gpu(name):
        raise CafxError(
            "two engines asked for",
            found=f"--engine {name} and --gpu {gpu}",
            remedy=f"'{name}' does not run on a GPU: leave one of the two out",
        )
    stated = chosen_engine()
    if name is None and stated and _runs_on_gpu(stated):
        return stated
    found = name or available_engine(registry(), gpu=True)
    if found is None:
        remedy = f"leave --gpu out to run on the CPU; {SEE}"
        raise CafxError(f"--gpu {gpu}: cannot run on a GPU: {why_no_gpu(registry())}", remedy=remedy)
    return found


def _runs_on_gpu(name: str) -> bool:
    engine: type[Engine] = registry().load("engine", name)
    return engine.gpu


def survey() -> dict[str, Any]:
    """Installed engines, the best first, with their devices, ready for JSON.

    Returns:
        ``default``, the name of the engine used when none is named; ``engines``, one row each, where ``gpu``
        is None for an engine that cannot be imported; ``missing``, what has to be installed before a GPU can
        be used.
    """
    rows = [_row(plugin) for plugin in registry().plugins("engine")]
    rows.sort(key=lambda row: (row["available"], row["priority"]), reverse=True)
    default = chosen_engine() or next((row["name"] for row in rows if row["available"]), None)
    return {"default": default, "engines": rows, "missing": _missing(rows)}


def limited(found: dict[str, Any], gpus: Collection[int]) -> dict[str, Any]:
    """The survey with these GPUs, and the engines that can use them, only.

    Args:
        found: what `survey` returns.
        gpus: numbers of GPUs.

    Raises:
        CafxError: one of them is not there.
    """
    usable = [row for row in found["engines"] if row["gpu"] and row["available"]]
    present = {device["index"] for row in usable for device in row["devices"]}
    absent = sorted(set(gpus) - present)
    if absent and present:
        raise CafxError(f"no GPU {absent[0]} here", expected=" or ".join(map(str, sorted(present))))
    if absent:
        raise CafxError(f"no GPU {absent[0]} here: {'; '.join(_reasons(found))}")
    rows = [{**row, "devices": [each for each in row["devices"] if each["index"] in gpus]} for row in usable]
    return {**found, "engines": [row for row in rows if row["devices"]]}


def _reasons(found: dict[str, Any]) -> list[str]:
    """Why no GPU can be used: each reason with the engines that give it, else what is missing."""
    engines: dict[str, list[str]] = {}
    for row in found["engines"]:
        if row["gpu"] is not False:
            engines.setdefault(row["reason"] or "finds no GPU", []).append(row["name"])
    reasons = [f"{', '.join(names)}: {reason}" for reason, names in engines.items()]
    return reasons or [f"missing: {each}" for each in found["missing"]]


def _row(plugin: Plugin) -> dict[str, Any]:
    error = registry().error(plugin)
    engine: type[Engine] = Engine if error else registry().load_plugin(plugin)
    reason = str(error) if error else engine.unavailable()
    devices: list[dict[str, Any]] = []
    if reason is None:
        try:
            devices = [{**attrs.asdict(each), "details": dict(each.details)} for each in engine.devices()]
        except CafxError as failure:
            reason = str(failure)
    return {
        "name": plugin.name,
        "distribution": plugin.distribution,
        "version": plugin.version,
        "gpu": None if error else engine.gpu,
        "priority": engine.priority,
        "available": reason is None,
        "reason": reason,
        "devices": devices,
    }


def _missing(rows: list[dict[str, Any]]) -> list[str]:
    if any(row["gpu"] and row["available"] for row in rows):
        return []
    missing = [] if _driver_is_installed() else [f"an NVIDIA GPU and its driver ({DRIVER} is not found)"]
    return (
        missing
        if any(row["gpu"] for row in rows)
        else [*missing, f"a GPU engine: {registry().install_line(GPU_EXTRA)}"]
    )


def _driver_is_installed() -> bool:
    """Whether the library of an NVIDIA driver can be loaded; the GPU is not touched."""
    try:
        ctypes.CDLL(DRIVER)
    except OSError:
        return False
    return True
