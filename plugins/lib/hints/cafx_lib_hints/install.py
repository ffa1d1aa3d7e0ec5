"""The one line that installs distributions in this environment."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from cafx_lib_hints.known import Known

OURS = ("cafx", "cafx-kernel")
"""The distributions whose origin says where this environment gets ours from."""


def install_line(distributions: Sequence[str]) -> str:
    """The command that installs distributions: from the checkout or folder of wheels that cafx came from, or by name.

    Args:
        distributions: their names; none gives "".

    Example:
        >>> install_line([])
        ''
    """
    if not distributions:
        return ""
    origin, editable, installer = _origin()
    command = _command(installer)
    checkout = _checkout(origin)
    if checkout is not None:
        folders = [str(checkout / each) for each in Known.read().needed_folders(distributions)]
        option = "-e " if editable else ""
        return f"{command} {' '.join(option + shlex.quote(each) for each in folders)}"
    if origin is not None and origin.suffix == ".whl":
        command += f" --find-links {shlex.quote(str(origin.parent))}"
    return f"{command} {' '.join(distributions)}"


def _command(installer: str) -> str:
    """The program that installs in this environment, whether it is the active one or not."""
    python = shlex.quote(sys.executable)
    if installer == "uv":
        active = os.environ.get("VIRTUAL_ENV") == sys.prefix
        return "uv pip install" if active else f"uv pip install --python {python}"
    found = shutil.which("pip")
    beside = found is not None and Path(found).parent == Path(sys.executable).parent
    return "pip install" if beside else f"{python} -m pip install"


def _checkout(origin: Path | None) -> Path | None:
    """The checkout in which a distribution's folder is."""
    folders = (origin, origin.parent) if origin is not None and origin.is_dir() else ()
    return next((each for each in folders if (each / "contrib").is_dir()), None)


def _origin() -> tuple[Path | None, bool, str]:
    """Where ours were installed from, if from a file or folder; whether they are editable; and what installed them."""
    installer = ""
    for name in OURS:
        try:
            found = metadata.distribution(name)
        except metadata.PackageNotFoundError:
            continue
        installer = (found.read_text("INSTALLER") or "").strip()
        stated = json.loads(found.read_text("direct_url.json") or "{}")
        url = urlparse(stated.get("url", ""))
        if url.scheme == "file":
            return Path(unquote(url.path)), bool(stated.get("dir_info", {}).get("editable")), installer
    return None, False, installer
