"""Whether a model is what its card states, and its net can be built with its weights."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from cafx.kernel import CafxError, Net, Phase
from cafx.kernel.files import Kinds, misplaced, read_file
from cafx_lib_zoo.fitting import fill, some
from cafx_lib_zoo.folder import ModelFolder
from cafx_lib_zoo.needs import lacking

MAX_LABELS = 16 << 20
"""Bytes of a file of labels."""


@attrs.frozen
class Verified:
    """What verifying a model found.

    Attributes:
        files: verified files.
        layers, values: layers of the net, and values of its parameters.
        outputs: shapes of its outputs by name.
        notices: what a person should know.
    """

    files: int
    layers: int
    values: int
    outputs: dict[str, tuple[int, ...]]
    notices: list[str]


def verify(model: ModelFolder, *, trust: bool = False, report: Callable[[str], None] = lambda _: None) -> Verified:
    """Check files and net of a model.

    Args:
        model: the model.
        trust: whether code that the net names may run.
        report: called with the name of each step.

    Raises:
        CafxError: a file is missing or another one, a layer is not installed, or net, weights and labels do not fit.
    """
    damaged = model.damaged(report)
    if damaged:
        more = f"; so are {len(damaged) - 1} other files" if len(damaged) > 1 else ""
        damaged[0].remedy = f"get the model again{more}"
        raise damaged[0]
    needed = lacking(model.card.layers, str(model.path))
    if needed:
        raise needed
    report(model.card.net)
    wrong = misplaced(model.net, Kinds.NET)
    if wrong:
        raise wrong
    notices = (
        [] if model.card.is_complete else ["the card lacks digests; nothing shows whether its files are the right ones"]
    )
    net = Net(model.net, Phase.TEST, trust=trust)
    try:
        if model.weights:
            unused = fill(net, model.weights)
            notices += [f"the weights also have layers that the net does not: {some(unused)}"] if unused else []
        else:
            notices.append("the model has no weights")
        outputs = {name: tuple(net.blobs[name].shape) for name in net.outputs}
        _check_labels(model, outputs)
        values = sum(blob.count_ for blobs in net.params.values() for blob in blobs)
        return Verified(len(model.card.files), len(net.layers), values, outputs, notices)
    finally:
        net.close()


def _check_labels(model: ModelFolder, outputs: dict[str, tuple[int, ...]]) -> None:
    """A net with one output has a label for each class."""
    if model.labels is None or len(outputs) != 1:
        return
    data = read_file(model.labels, MAX_LABELS)
    count = len(data.decode("utf-8", "replace").strip("\n").split("\n"))
    shape = next(iter(outputs.values()))
    if len(shape) > 1 and shape[1] != count:
        message = "there are not as many labels as classes"
        raise CafxError(message, where=str(model.labels), found=count, expected=shape[1])
