"""Which axes of a net's blobs follow the batch size."""

from __future__ import annotations

from cafx.kernel import CafxError, Net
from cafx_lib_onnx.graph import Shape

BATCH = "N"


def fixed_shapes(net: Net) -> dict[str, Shape]:
    """The present shape of each blob, by name."""
    return {name: blob.shape for name, blob in net.blobs.items()}


def symbolic_shapes(net: Net, axis: int = 0) -> dict[str, Shape]:
    """The shape of each blob, with ``N`` in place of the batch size and an expression for what follows from it.

    The net is reshaped to a batch that is one larger, and back: an axis that changes is one that follows.

    Args:
        net: a net with inputs.
        axis: the inputs' batch axis.

    Raises:
        CafxError: the net has no input with this axis, or a layer does not accept another batch size.

    Example:
        >>> from cafx.kernel import schema
        >>> net = Net(schema().parse_text('''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 4 dim: 3 } } }
        ... layer { name: "flat" type: "Flatten" bottom: "x" top: "y" flatten_param { axis: 0 } }
        ... ''', "NetParameter"), engine="numpy")
        >>> symbolic_shapes(net)
        {'x': ('N', 3), 'y': ('3*N',)}
    """
    before = fixed_shapes(net)
    inputs = [name for name in net.inputs if len(before[name]) > axis]
    if not inputs:
        raise CafxError(f"no input has an axis {axis}", where=f"net '{net.name}'")
    batch = int(before[inputs[0]][axis])
    inputs = [name for name in inputs if before[name][axis] == batch]
    try:
        for name in inputs:
            shape = net.blobs[name].shape
            net.blobs[name].reshape(*shape[:axis], batch + 1, *shape[axis + 1 :])
        net.reshape()
        after = fixed_shapes(net)
    finally:
        for name in net.inputs:
            net.blobs[name].reshape(*(int(length) for length in before[name]))
        net.reshape()
    return {name: _compared(name, before[name], after[name], batch) for name in before}


def _compared(name: str, before: Shape, after: Shape, batch: int) -> Shape:
    if len(before) != len(after):
        raise CafxError(f"blob '{name}' has another number of axes at another batch size")
    return tuple(_length(name, i, int(b), int(a), batch) for i, (b, a) in enumerate(zip(before, after, strict=True)))


def _length(name: str, axis: int, before: int, after: int, batch: int) -> int | str:
    if before == after:
        return before
    times, rest = divmod(before, batch) if batch else (0, 1)
    if rest or after != times * (batch + 1):
        return f"{name}_{axis}"
    return BATCH if times == 1 else f"{times}*{BATCH}"
