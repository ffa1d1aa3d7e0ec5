"""Writing stubs: beside the sources of cafx-dsl, or as a folder that is complete by itself."""

from __future__ import annotations

from pathlib import Path

import cafx.dsl
from cafx.kernel import CafxError, registry
from cafx.kernel.files import atomic_write
from cafx_command_stubs.rendering import stub_modules

PACKAGE = Path("cafx", "dsl")
CHECKOUT = "pyproject.toml"
"""A file by which the sources of cafx-dsl in a checkout are recognised."""


def in_environment() -> Path:
    """The folder of the installed cafx-dsl.

    Raises:
        CafxError: it is a checkout, whose stubs are those of the standard plugins.
    """
    folder = Path(cafx.dsl.__file__).parent
    if (folder.parents[1] / CHECKOUT).exists():
        raise CafxError("cafx-dsl is installed from a checkout", where=str(folder), remedy="cafx stubs --out typings")
    return folder


def stub_files(*, whole: bool) -> dict[Path, str]:
    """The text of each file, by its path in the folder.

    Args:
        whole: with the package's path, and with the DSL's other modules, since a type checker that finds a package in
            one folder does not look for its modules in another.
    """
    stubs = {Path(f"{name}.pyi"): text for name, text in stub_modules().items()}
    if not whole:
        return stubs
    sources = Path(cafx.dsl.__file__).parent.glob("*.py")
    others = {Path(f"{each.stem}.pyi"): each.read_text("utf-8") for each in sources if each.stem != "__init__"}
    return {PACKAGE / path: text for path, text in {**others, **stubs}.items()}


def outdated(folder: str | Path, *, whole: bool) -> list[Path]:
    """The files that are missing or differ from what `write` would write."""
    paths = {Path(folder) / path: text for path, text in stub_files(whole=whole).items()}
    return [path for path, text in paths.items() if not path.is_file() or path.read_text("utf-8") != text]


def write(folder: str | Path, *, whole: bool) -> int:
    """Write all stubs, each completely or not at all; returns the number of layers.

    Args:
        folder: where to; it is created if it does not exist.
        whole: see `stub_files`.

    Raises:
        CafxError: a file cannot be written.
    """
    for path, text in stub_files(whole=whole).items():
        target = Path(folder) / path
        try:
            target.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CafxError(f"cannot be created: {error.strerror}", where=str(target.parent)) from error
        with atomic_write(target) as file:
            file.write(text.encode("utf-8"))
    return len(registry().usable("layer"))
