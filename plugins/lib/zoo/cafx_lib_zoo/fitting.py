"""Filling a net with weights, all of it."""

from __future__ import annotations

from pathlib import Path

from cafx.kernel import CafxError, Net

MOST_SHOWN = 5


def fill(net: Net, weights: Path) -> list[str]:
    """Copy weights into a net.

    Args:
        net: the net.
        weights: the file.

    Returns:
        The file's layers that the net does not have.

    Raises:
        CafxError: the file cannot be read, lacks a layer of the net, or has other shapes.
    """
    copied = net.copy_from(str(weights))
    owned = {blob.synced_data for name in copied.filled for blob in net.params.get(name, ())}
    lacking = [name for name in copied.untouched if any(blob.synced_data not in owned for blob in net.params[name])]
    if lacking:
        message = "are not the weights of this net"
        raise CafxError(message, where=str(weights), found=f"nothing for {some(lacking)}")
    return copied.unused


def some(names: list[str]) -> str:
    """The first of several names.

    Example:
        >>> some(["a", "b", "c", "d", "e", "f", "g"])
        'a, b, c, d, e and 2 more'
    """
    more = f" and {len(names) - MOST_SHOWN} more" if len(names) > MOST_SHOWN else ""
    return ", ".join(names[:MOST_SHOWN]) + more
