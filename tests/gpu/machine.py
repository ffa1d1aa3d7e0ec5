"""What this machine is, found out without a CUDA context, and where reference data are."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from importlib import metadata
from pathlib import Path

REHEARSAL = os.environ.get("CAFX_GPU_REHEARSAL", "0") not in ("", "0")
"""Whether the stand-in for CUDA takes the GPU's place."""
DISTRIBUTIONS = (
    *("cupy-cuda13x", "nvidia-cudnn-cu13", "nvidia-cudnn-frontend", "nvidia-cublas", "nvidia-cuda-nvrtc"),
    *("torch", "numpy", "protobuf"),
)
HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]


def describe() -> dict[str, str]:
    """Card, driver, versions and commit."""
    described = {"commit": commit(), "card": "stand-in" if REHEARSAL else card()}
    versions = [f"{name} {version(name)}" for name in DISTRIBUTIONS]
    return described | {"python": platform.python_version(), "versions": ", ".join(versions)}


def card() -> str:
    """What nvidia-smi says: name, driver, memory."""
    if shutil.which("nvidia-smi") is None:
        return "no nvidia-smi"
    command = ["nvidia-smi", "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False).stdout.strip()


def version(name: str) -> str:
    """The version of a distribution; "-" for none."""
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "-"


def commit() -> str:
    """The commit of the code that is tested."""
    pack = os.environ.get("CAFX_GPU_PACK")
    if pack:
        return Path(pack, "COMMIT").read_text(encoding="utf-8").strip()
    command = ["git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=40"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return "unknown"


def reference_data(name: str) -> Path | None:
    """A folder of reference data, packed or shared; None where it is missing."""
    pack, shared = os.environ.get("CAFX_GPU_PACK"), os.environ.get("CAFX_SHARED")
    candidates = [Path(pack, "data")] if pack else []
    candidates += [Path(shared) if shared else ROOT.parent / "shared"]
    return next((folder / name for folder in candidates if (folder / name).is_dir()), None)
