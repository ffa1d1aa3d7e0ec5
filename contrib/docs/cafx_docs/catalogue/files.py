"""Writing generated pages: what has not changed is left alone, so that Sphinx reads only what has."""

from __future__ import annotations

from pathlib import Path

from cafx.kernel.files import atomic_write


class Written:
    """The files of a generated folder.

    Args:
        folder: the folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._paths: set[Path] = set()

    def write(self, name: str, contents: str | bytes) -> None:
        """Write one file, unless it is there with these contents."""
        path, data = self.folder / name, contents.encode() if isinstance(contents, str) else contents
        self._paths.add(path)
        if path.is_file() and path.read_bytes() == data:
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as file:
            file.write(data)

    def remove_others(self) -> None:
        """Remove the files of earlier builds that this one has not written."""
        for path in sorted(self.folder.rglob("*"), reverse=True):
            if path.is_file() and path not in self._paths:
                path.unlink()
            elif path.is_dir() and not any(path.iterdir()):
                path.rmdir()
