"""The net and weights that a command's arguments name: files, or the folder of a model."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx_lib_preprocessing import Preprocessing


@attrs.frozen
class NamedModel:
    """A net to use.

    Attributes:
        net: its prototxt.
        weights: files of weights, not empty.
        preprocessing: what happens to images.
        trusted: whether code that the net names may be run: not that of a folder that came from somewhere.
    """

    net: str
    weights: list[str]
    preprocessing: Preprocessing
    trusted: bool


def named_model(
    model: str, weights: Sequence[str], preprocessing: Callable[..., Preprocessing], **given: Any
) -> NamedModel:
    """The net, weights and preprocessing that the arguments of a command name.

    Args:
        model: a deploy prototxt; or a folder as 'cafx models get' and 'publish' write it, whose card names the rest.
        weights: files of weights; needed with a prototxt.
        preprocessing: what `preprocessing_options` passes on.
        given: attributes of the preprocessing that options of the command state.

    Raises:
        CafxError: the folder has no card or no weights; or the preprocessing is not valid.
    """
    if not Path(model).is_dir():
        return NamedModel(model, list(weights), preprocessing(**given), True)
    from cafx_lib_zoo import ModelFolder

    folder = ModelFolder.read(model)
    chosen = list(weights) or [str(folder.weights)] * bool(folder.weights)
    if not chosen:
        raise CafxError("this model has no weights", where=model, remedy="--weights FILE")
    record = preprocessing(model=model if folder.card.preprocessing is not None else None, **given)
    if record.labels is None and folder.labels:
        record = record.changed(labels=str(folder.labels))
    return NamedModel(str(folder.net), chosen, record, False)
