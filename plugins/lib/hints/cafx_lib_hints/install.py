"""The one line that installs distributions in this environment."""

from __future__ import annotations

import json
import shlex
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

from cafx_lib_hints.known import Known

HERE = "cafx-kernel"
"""The distribution whose origin says where this environment gets ours from."""


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
    command = "uv pip install" if installer == "uv" else "pip install"
    checkout = origin.parent if origin is not None and origin.is_dir() else None
    if checkout is not None and (checkout / "contrib").is_dir():
        folders = [str(checkout / each) for each in Known.read().needed_folders(distributions)]
        option = "-e " if editable else ""
        return f"{command} {' '.join(option + shlex.quote(each) for each in folders)}"
    if origin is not None and origin.suffix == ".whl":
        command += f" --find-links {shlex.quote(str(origin.parent))}"
    return f"{command} {' '.join(distributions)}"


def _origin() -> tuple[Path | None, bool, str]:
    """Where the kernel was installed from, if from a file or folder; whether it is editable; and what installed it."""
    try:
        found = metadata.distribution(HERE)
    except metadata.PackageNotFoundError:
        return None, False, ""
    stated = json.loads(found.read_text("direct_url.json") or "{}")
    installer = (found.read_text("INSTALLER") or "").strip()
    url = urlparse(stated.get("url", ""))
    path = Path(unquote(url.path)) if url.scheme == "file" else None
    return path, bool(stated.get("dir_info", {}).get("editable")), installer
