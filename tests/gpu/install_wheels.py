"""Unpack the wheels of distributions that this machine lacks: ``python install_wheels.py WHEELS FOLDER``.

What is installed stays as it is: PyTorch and CuPy go on with the versions they came with.
"""

from __future__ import annotations

import sys
import zipfile
from importlib import metadata
from pathlib import Path


def is_installed(name: str) -> bool:
    """Whether this interpreter has a distribution."""
    try:
        metadata.version(name)
    except metadata.PackageNotFoundError:
        return False
    return True


def main() -> None:
    """Unpack what is missing."""
    wheels, folder = (Path(argument) for argument in sys.argv[1:])
    done = {path.name for path in folder.glob("*.dist-info")}
    for wheel in sorted(wheels.glob("*.whl")):
        name, version = wheel.name.split("-")[:2]
        if is_installed(name) or f"{name}-{version}.dist-info" in done:
            continue
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(folder)
        print(f"unpacked {name} {version}")


if __name__ == "__main__":
    main()
