"""Findings of ``cafx doctor``: one function per subject, from versions to plugins that fail."""

from __future__ import annotations

import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from importlib import metadata
from pathlib import Path

import attrs

from cafx.cli.devices import survey
from cafx.cli.net import size_text
from cafx.cli.unfinished import inventory_within
from cafx.kernel.errors import did_you_mean

OK, NOTE, WARNING, PROBLEM = "ok", "note", "warning", "problem"
LIBRARIES = (
    *("numpy", "protobuf", "onednn-cpu-gomp", "llvmlite", "lmdb", "h5py", "opencv-python-headless"),
    *("opencv-contrib-python-headless", "simplejpeg", "onnx", "onnxruntime", "cupy-cuda12x", "click", "rich"),
)
"""Distributions whose versions matter, where they are installed."""
LITTLE_DISK, LITTLE_MEMORY = 1 << 30, 1 << 30
"""Free bytes below which a disk, or memory, is little."""
SPINNING = {"OMP_WAIT_POLICY": "active", "KMP_BLOCKTIME": "infinite", "GOMP_SPINCOUNT": "infinite"}
"""Settings by which idle threads keep a core busy."""
MANY_SPINS = 1_000_000
IMPORT_SECONDS = 30
"""The time that importing one plugin may take."""
SETTINGS = (
    *("CAFX_CACHE", "CAFX_COMMUNICATOR", "CAFX_DATA", "CAFX_DETERMINISTIC", "CAFX_DIALECT", "CAFX_ENGINE"),
    *("CAFX_LOCAL_RANK", "CAFX_LOCAL_SIZE", "CAFX_LOCAL_UID", "CAFX_MAX_BYTES", "CAFX_MPIEXEC", "CAFX_PRECISION"),
    *("CAFX_PREFER", "CAFX_STRICT_MODE", "CAFX_TRUST"),
)
"""Environment variables that cafx reads."""


@attrs.frozen
class Finding:
    """What is known about one subject.

    Attributes:
        subject: what was looked at.
        state: `OK`, `NOTE` (nothing to do), `WARNING` (slower or less than possible) or `PROBLEM`.
        text: what was found.
        remedy: what to do about it.
    """

    subject: str
    state: str
    text: str
    remedy: str | None = None


def examine() -> list[Finding]:
    """All findings, in order of the subjects."""
    checks: tuple[Callable[[], Iterator[Finding]], ...] = (
        versions,
        namespace,
        engines,
        threads,
        lambda: spinning(os.environ),
        lambda: settings(os.environ),
        memory,
        disks,
        plugins,
    )
    return [finding for check in checks for finding in check()]


def versions() -> Iterator[Finding]:
    """Of Python, cafx and the libraries that matter."""
    yield Finding(
        "python", OK, f"{platform.python_version()}, {platform.system()} {platform.machine()}, {sys.executable}"
    )
    for name in ("cafx-kernel", "cafx-dsl", "cafx-cli"):
        yield Finding("cafx", OK, f"{name} {metadata.version(name)}")
    found = (f"{name} {version}" for name in LIBRARIES if (version := _version(name)))
    yield Finding("libraries", OK, ", ".join(found))


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def namespace() -> Iterator[Finding]:
    """Whether a stray file hides part of the package ``cafx``."""
    import cafx

    stray = getattr(cafx, "__file__", None)
    if stray:
        yield Finding(
            "package", PROBLEM, f"{stray} hides other parts of cafx", "remove that file, or what installed it"
        )


def engines() -> Iterator[Finding]:
    """Engines that can run here, and GPUs; the lack of a GPU is no problem."""
    found = survey()
    for row in found["engines"]:
        default = ", used by default" if row["name"] == found["default"] else ""
        if row["available"]:
            yield Finding("engine", OK, f"{row['name']} {row['version']}{default}")
            for gpu in row["devices"]:
                free = f"{size_text(gpu['free'])} of {size_text(gpu['memory'])} free"
                yield Finding("GPU", OK, f"{gpu['index']}: {gpu['name']}, {free}")
        else:
            yield Finding("engine", PROBLEM if row["gpu"] is None else NOTE, f"{row['name']}: {row['reason']}")
    names = [row["name"] for row in found["engines"]]
    if found["default"] not in names:
        remedy = did_you_mean(str(found["default"]), names) or "'cafx plugins list --kind engine' lists engines"
        yield Finding("engine", PROBLEM, f"'{found['default']}' is not installed (CAFX_ENGINE)", remedy)
    for lacking in found["missing"]:
        yield Finding("GPU", NOTE, f"not used: {lacking}")


def threads() -> Iterator[Finding]:
    """Cores that this process may use, and whether more threads than that are asked for."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    quota = _quota()
    limited = f", limited to the time of {quota:g}" if quota and quota < cores else ""
    yield Finding("threads", OK, f"{cores} cores{limited}, {os.cpu_count()} in the machine")
    usable = min(cores, quota or cores)
    stated = os.environ.get("OMP_NUM_THREADS", "").split(",")[0]
    if stated.isdigit() and int(stated) > usable:
        text = f"OMP_NUM_THREADS={stated} asks for more threads than cores"
        yield Finding("threads", WARNING, text, f"set OMP_NUM_THREADS={max(1, int(usable))}, or unset it")
    elif limited and not stated:
        text = "more threads than that are started by default"
        yield Finding("threads", WARNING, text, f"set OMP_NUM_THREADS={max(1, int(usable))}")


def _quota(file: Path = Path("/sys/fs/cgroup/cpu.max")) -> float | None:
    """The cores whose time a container may use, or None if it is not limited."""
    try:
        limit, period = file.read_text().split()
        return int(limit) / int(period)
    except (OSError, ValueError):
        return None


def spinning(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Settings of OpenMP by which idle threads take time from others."""
    for name, value in SPINNING.items():
        given = environment.get(name, "").strip().lower()
        if given == value or (given.isdigit() and int(given) >= MANY_SPINS):
            text = f"{name}={given}: idle threads keep their cores busy"
            yield Finding("threads", WARNING, text, f"unset {name}, unless no other program needs these cores")


def settings(environment: Mapping[str, str]) -> Iterator[Finding]:
    """Environment variables that change what cafx does, and those that look so but are not read."""
    given = sorted(name for name in environment if name.startswith("CAFX_"))
    known = [f"{name}={environment[name]}" for name in given if name in SETTINGS]
    if known:
        yield Finding("settings", NOTE, ", ".join(known))
    for name in given:
        close = did_you_mean(name, SETTINGS)
        if name not in SETTINGS and close:
            yield Finding("settings", WARNING, f"{name} is not read by cafx", close)


def memory(file: Path = Path("/proc/meminfo")) -> Iterator[Finding]:
    """Memory that is available."""
    try:
        lines = dict(line.split(":", 1) for line in file.read_text().splitlines() if ":" in line)
        total, free = (int(lines[name].split()[0]) * 1024 for name in ("MemTotal", "MemAvailable"))
    except (OSError, ValueError, KeyError):
        return
    text = f"{size_text(free)} of {size_text(total)} available"
    yield Finding("memory", WARNING if free < LITTLE_MEMORY else OK, text)


def disks() -> Iterator[Finding]:
    """Folders that cafx writes to: the current one, that of temporary files, and its cache."""
    cache = _cache()
    folders = {"current folder": Path.cwd(), "temporary files": Path(tempfile.gettempdir())}
    for subject, folder in {**folders, **({"cache": cache} if cache else {})}.items():
        yield _disk(subject, folder)


def _disk(subject: str, folder: Path) -> Finding:
    existing = next((each for each in (folder, *folder.parents) if each.exists()), folder)
    if not (existing.is_dir() and os.access(existing, os.W_OK)):
        return Finding(subject, PROBLEM, f"{folder} cannot be written to", _OTHER_FOLDER[subject])
    free = shutil.disk_usage(existing).free
    text = f"{folder}: {size_text(free)} free"
    if free < LITTLE_DISK:
        return Finding(subject, WARNING, text, _OTHER_FOLDER[subject])
    return Finding(subject, OK, text)


_OTHER_FOLDER = {
    "current folder": "work in another folder, or set snapshot_prefix",
    "temporary files": "set TMPDIR to another folder",
    "cache": "set CAFX_CACHE to another folder",
}


def _cache() -> Path | None:
    """The folder of the cache; None if it is switched off."""
    stated = os.environ.get("CAFX_CACHE")
    if stated is not None:
        return Path(stated) if stated else None
    return Path(os.environ.get("XDG_CACHE_HOME") or Path("~/.cache").expanduser()) / "cafx"


def plugins() -> Iterator[Finding]:
    """Plugins that fail to load or do not end to, and names that several packages claim."""
    rows = inventory_within(IMPORT_SECONDS)
    broken = [row for row in rows if row["error"]]
    yield Finding("plugins", OK, f"{len(rows) - len(broken)} of {len(rows)} work")
    for row in broken:
        remedy = "" if ";" in row["error"] else f"update or uninstall {row['distribution']}"
        yield Finding("plugins", PROBLEM, f"{row['kind']} {row['name']}: {row['error']}", remedy or None)
