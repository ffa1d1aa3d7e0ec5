"""``file:FOLDER``: a model in a folder."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_zoo.card import Stated
from cafx_lib_zoo.sources import Source
from cafx_lib_zoo.web import Limits

if TYPE_CHECKING:
    from cafx.conformance.kinds.source import SourceCase

MOST = 10_000
"""Files of a folder that are looked at."""


class Folder(Source):
    """A folder with a readme.md.

    Args:
        address: its path, or what follows ``file:`` in a URL of three slashes.
        limits: what reading may take.
    """

    local = True

    def __init__(self, address: str, limits: Limits) -> None:
        super().__init__(shown(address), limits)
        path = Path(address if not address.startswith("///") else address[2:]).expanduser()
        if not path.is_dir():
            message = "is not a folder" if path.exists() else "there is no such folder"
            raise CafxError(message, where=self.title, remedy="name the folder with the model's readme.md")
        self.folder = path.resolve()

    def place(self, name: str) -> str:
        """The path of a file, which must be in the folder, not a link that leads out of it."""
        path = self.folder / name
        if path.is_symlink() and not path.resolve().is_relative_to(self.folder):
            raise CafxError("is a link that leads out of its folder", where=shown(path), remedy="copy the file itself")
        return str(path)

    def names(self) -> Mapping[str, Stated]:
        """The files in the folder, with their sizes."""
        found = {}
        for count, path in enumerate(sorted(self.folder.iterdir())):
            if count < MOST and path.is_file():
                found[path.name] = Stated(path.stat().st_size)
        return found

    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        """A folder with a link that leads out of it."""
        from cafx.conformance.kinds.source import SourceCase
        from cafx_lib_zoo.testing import FAST, in_folder

        def serve(folder: Path, files: Mapping[str, bytes], escapes: Mapping[str, bytes]) -> Any:
            return in_folder(folder, files, lambda path: partial(cls, str(path), FAST))

        yield SourceCase("folder", serve, ["/nonexistent/model", "nowhere"])
