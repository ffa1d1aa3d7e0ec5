"""The one line that installs distributions in this environment, from where cafx itself came from.

It never names a distribution that the public index would be searched for: nobody vouches for what is there under
cafx's names.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import sys
from collections.abc import Sequence
from importlib import metadata
from pathlib import Path
from urllib.parse import unquote, urlparse

import attrs
from packaging.version import Version

from cafx_lib_hints.known import Known

OURS = ("cafx", "cafx-kernel")
"""The distributions whose origin says where this environment gets ours from."""
FEW = 4
"""With more parts, the line begins by going to where they are: it stays short enough to be shown."""
CHECKOUT = "CHECKOUT"
UNKNOWN = f"({CHECKOUT} is a clone of cafx's repository)"


@attrs.frozen
class Origin:
    """Where this environment gets cafx's distributions from.

    Attributes:
        installer: the program that installed cafx, ``uv`` or another.
        path: a checkout, or the wheel of a folder of wheels; None if it is neither.
        editable: whether the checkout's distributions are installed as they stand there.
        repository: address and commit of a git repository, else "".
    """

    installer: str = ""
    path: Path | None = None
    editable: bool = False
    repository: str = ""

    @classmethod
    def find(cls) -> Origin:
        """What the installer of cafx, or of its kernel, has noted."""
        installer = ""
        for name in OURS:
            try:
                found = metadata.distribution(name)
            except metadata.PackageNotFoundError:
                continue
            installer = (found.read_text("INSTALLER") or "").strip()
            stated = json.loads(found.read_text("direct_url.json") or "{}")
            url = urlparse(stated.get("url", ""))
            if url.scheme == "file" and "vcs_info" not in stated:
                editable = bool(stated.get("dir_info", {}).get("editable"))
                return cls(installer, Path(unquote(url.path)), editable)
            if "vcs_info" in stated:
                facts = stated["vcs_info"]
                return cls(installer, repository=f"{facts['vcs']}+{stated['url']}@{facts['commit_id']}")
        return cls(installer)

    @property
    def checkout(self) -> Path | None:
        """The checkout in which a distribution's folder is."""
        folders = (self.path, self.path.parent) if self.path is not None and self.path.is_dir() else ()
        return next((each for each in folders if (each / "contrib").is_dir()), None)

    @property
    def wheels(self) -> Path | None:
        """The folder of wheels."""
        return self.path.parent if self.path is not None and self.path.suffix == ".whl" else None

    @property
    def command(self) -> str:
        """The program that installs in this environment, whether it is the active one or not."""
        python = shlex.quote(sys.executable)
        if self.installer == "uv":
            active = os.environ.get("VIRTUAL_ENV") == sys.prefix
            return "uv pip install" if active else f"uv pip install --python {python}"
        found = shutil.which("pip")
        beside = found is not None and Path(found).parent == Path(sys.executable).parent
        return "pip install" if beside else f"{python} -m pip install"


def install_line(distributions: Sequence[str]) -> str:
    """The command that installs distributions: from the checkout, wheels or repository that cafx came from.

    Args:
        distributions: their names; ``cafx[NAME]`` is what this extra adds. None gives "".

    Example:
        >>> install_line([])
        ''
    """
    if not distributions:
        return ""
    origin, needed = Origin.find(), Known.read().needed(distributions)
    if origin.repository:
        words = [f"{each.name}{each.extra} @ {_part(origin, each.folder)}" for each in needed]
        return f"{origin.command} {shlex.join(words)}"
    if origin.wheels is not None:
        place, words = str(origin.wheels), [f"{_wheel(origin.wheels, each.name)}{each.extra}" for each in needed]
    else:
        place, words = str(origin.checkout or CHECKOUT), [f"{each.folder}{each.extra}" for each in needed]
    option = "-e " if origin.editable and origin.checkout else ""
    first = f"cd {shlex.quote(place)} && " if len(words) > FEW else ""
    named = [option + shlex.quote(each if first else f"{place}/{each}") for each in words]
    note = "" if origin.checkout or origin.wheels else f" {UNKNOWN}"
    return f"{first}{origin.command} {' '.join(named)}{note}"


def _wheel(folder: Path, name: str) -> str:
    """The newest wheel of a distribution, or how it would be called."""
    stem = re.sub(r"[-_.]+", "_", name)
    files = sorted(folder.glob(f"{stem}-[0-9]*.whl"), key=lambda file: Version(file.name.split("-")[1]))
    return files[-1].name if files else f"{stem}-VERSION-py3-none-any.whl"


def _part(origin: Origin, folder: str) -> str:
    """A folder of the repository."""
    return origin.repository if folder == "." else f"{origin.repository}#subdirectory={folder}"
