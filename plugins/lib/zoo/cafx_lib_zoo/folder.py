"""A model in a folder: its card and files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import read_file
from cafx_lib_zoo.card import MAX_CARD, Card, parse_card
from cafx_lib_zoo.download import mismatch
from cafx_lib_zoo.names import CARDS


@attrs.frozen
class ModelFolder:
    """A folder with a card.

    Attributes:
        path: the folder.
        card: what its readme states.
        readme: the readme's bytes.
    """

    path: Path
    card: Card
    readme: bytes

    @classmethod
    def read(cls, path: str | Path) -> ModelFolder:
        """Read the card of a folder; its other files are not looked at.

        Args:
            path: the folder, or its readme.md.

        Raises:
            CafxError: it has no card, or a damaged one.
        """
        folder = Path(path)
        folder = folder.parent if folder.name in CARDS and folder.is_file() else folder
        readme = next((folder / name for name in CARDS if (folder / name).is_file()), None)
        if readme is None:
            remedy = "'cafx models publish' writes such a folder" if folder.is_dir() else "check the path"
            raise CafxError("has no readme.md", where=str(folder), remedy=remedy)
        data = read_file(readme, MAX_CARD + 1)
        return cls(folder, parse_card(data, str(readme)), data)

    @property
    def net(self) -> Path:
        """The prototxt for inference."""
        return self.path / self.card.net

    @property
    def weights(self) -> Path | None:
        """The weights, if the model has any."""
        return self.path / self.card.weights if self.card.weights else None

    @property
    def labels(self) -> Path | None:
        """The names of classes, one per line, if the model has any."""
        return self.path / self.card.labels if self.card.labels else None

    def damaged(self, report: Callable[[str], None] = lambda _: None) -> list[CafxError]:
        """What is wrong with its files: missing, of another size, or with another digest.

        Args:
            report: called with the name of each file before it is read.
        """
        errors = []
        for name, stated in self.card.files.items():
            report(name)
            path = self.path / name
            try:
                if path.is_symlink() and not path.resolve().is_relative_to(self.path.resolve()):
                    raise CafxError("is a link that leads out of its folder", where=str(path))
                wrong = mismatch(stated, path)
            except CafxError as error:
                errors.append(error)
                continue
            if wrong:
                message = "is not the file that the card states"
                errors.append(CafxError(message, where=str(path), found=wrong[0], expected=wrong[1]))
        return errors
