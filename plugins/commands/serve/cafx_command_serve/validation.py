"""Probabilities for images of known class, to find out how much to hedge."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_command_serve.hedging import softmax
from cafx_command_serve.model import Model
from cafx_lib_feed.images import read_image
from cafx_lib_feed.lists import read_list


def scores_of(model: Model, source: str) -> tuple[npt.NDArray[Any], npt.NDArray[np.int64]]:
    """The probabilities of the classes for listed images, and the class of each.

    Args:
        model: the net.
        source: the list: a path, relative to the list's folder, and the number of a class in each line.

    Raises:
        CafxError: an image cannot be read, or is of no class of the net.
    """
    lines, folder = read_list(source), Path(source).parent
    wrong = next((label for _, label in lines if not 0 <= label < model.classes), None)
    if wrong is not None:
        expected = f"0 to {model.classes - 1}"
        raise CafxError("a listed image is of no class of the net", where=shown(source), found=wrong, expected=expected)
    found = []
    for name, _ in lines:
        image = read_image(folder / name, color=model.preprocessing.depth != 1)
        found.append(softmax(model.scores(model.run(model.converter.apply(image)))))
    return np.stack(found), np.array([label for _, label in lines])
