"""The commands that install, check and publish distributions in the environment of this process."""

from __future__ import annotations

import os
import shlex
import shutil
import sys
from importlib import util
from pathlib import Path

SUITE = "cafx-conformance"
"""The distribution that `cafx check` needs."""
NESTED = "UV_RUN_RECURSION_DEPTH"
"""Set in what ``uv run`` starts."""
VENV = ".venv"


def install_command(*arguments: str) -> str:
    """The command that installs distributions in this environment: pip's if there is a pip in it, else uv's.

    Args:
        arguments: what is to be installed, as pip and uv take it.

    Example:
        >>> install_command("-e", "my folder").endswith(" -e 'my folder'")
        True
    """
    return f"{_installer()} {shlex.join(arguments)}"


def _installer() -> str:
    python = shlex.quote(sys.executable)
    if util.find_spec("pip") is not None:
        found = shutil.which("pip")
        beside = found is not None and Path(found).parent == Path(sys.executable).parent
        return "pip install" if beside else f"{python} -m pip install"
    if shutil.which("uv") is None:
        return f"{python} -m ensurepip && {python} -m pip install"
    return "uv pip install" if _is_uv_s_choice() else f"uv pip install --python {python}"


def _is_uv_s_choice() -> bool:
    """Whether uv would install in this environment: the active one, else the nearest ``.venv``."""
    active = os.environ.get("VIRTUAL_ENV")
    if active and NESTED not in os.environ:  # `uv run` sets it for what it starts, but not for the next command
        return Path(active) == Path(sys.prefix)
    here = Path.cwd()
    nearest = next((each / VENV for each in (here, *here.parents) if (each / VENV).is_dir()), None)
    return nearest is not None and nearest == Path(sys.prefix)


def cafx_command(*arguments: str) -> str:
    """The command that runs ``cafx`` in this environment.

    Args:
        arguments: its arguments.

    Example:
        >>> cafx_command("check", "cafx-layer-relu").endswith("check cafx-layer-relu")
        True
    """
    found = shutil.which("cafx")
    prefix = "uv run " if NESTED in os.environ else ""
    if not prefix and (found is None or Path(found).parent != Path(sys.executable).parent):
        return f"{shlex.quote(sys.executable)} -m cafx.cli {shlex.join(arguments)}"
    return f"{prefix}cafx {shlex.join(arguments)}"


def publish_commands(folder: str) -> list[str]:
    """The commands that build a distribution in a folder, and publish it.

    Args:
        folder: where its pyproject.toml is.
    """
    built = f"{shlex.quote(folder)}/dist/*"
    if shutil.which("uv") is not None:
        return [shlex.join(["uv", "build", folder]), f"uv publish {built}"]
    python = shlex.quote(sys.executable)
    return [f"{python} -m pip install build twine", f"{python} -m build {shlex.quote(folder)}", f"twine upload {built}"]


def suite_command() -> str:
    """The command that installs the conformance suite, from where cafx came from."""
    from cafx.kernel.registry import registry

    return registry().install_line(SUITE)
