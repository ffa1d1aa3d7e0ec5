"""Files of weights and solver states: their contents, the base class of formats, and atomic writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy.typing as npt

from cafx.kernel.blob import Shape
from cafx.kernel.errors import CafxError
from cafx.kernel.files import Kinds, misplaced, read_head, sniff
from cafx.kernel.registry import Registry

DEFAULT_FORMAT = "BINARYPROTO"
ABSENT: Shape = (-1,)


@attrs.frozen(eq=False)
class BlobValues:
    """One blob in a file.

    Attributes:
        shape: shape of the blob; `ABSENT` for a shared parameter stored with another layer.
        data: values, flat.
        diff: gradient, flat, if the file has one.
        legacy: whether the file gives the shape as four numbers (num, channels, height, width).
    """

    shape: Shape
    data: npt.NDArray[Any]
    diff: npt.NDArray[Any] | None = None
    legacy: bool = False


@attrs.frozen(eq=False)
class LayerWeights:
    """The blobs of one layer in a file.

    Attributes:
        name: layer name.
        blobs: its parameters, in order.
        type: layer type, "" if the file does not state it.
    """

    name: str
    blobs: list[BlobValues]
    type: str = ""


@attrs.frozen(eq=False)
class TrainingState:
    """The contents of a solverstate file.

    Attributes:
        iter: completed iterations.
        learned_net: path of the weights file saved with it.
        history: the solver's history: for each slot, one blob per parameter.
        current_step: completed steps of the learning rate policy.
        exact: further state for an exact resume (None in files written by Caffe).
    """

    iter: int
    learned_net: str
    history: list[BlobValues]
    current_step: int = 0
    exact: dict[str, Any] | None = None


class Format:
    """A file format of weights and solver states; a plugin of group ``cafx.formats``.

    Args:
        plugins: where the format finds other plugins.

    Attributes:
        suffix: file name suffix after ``.caffemodel`` or ``.solverstate``.

    Example:
        A format that stores one array per layer:

        >>> import tempfile
        >>> import numpy as np
        >>> from cafx.kernel.registry import registry
        >>> class Npz(Format):
        ...     suffix = ".npz"
        ...
        ...     def recognises(self, head):
        ...         return head.startswith(b"PK")
        ...
        ...     def read_weights(self, path):
        ...         with np.load(path) as arrays:
        ...             return [LayerWeights(name, [BlobValues(a.shape, a)]) for name, a in arrays.items()]
        ...
        ...     def write_weights(self, path, net, layers):
        ...         np.savez(path, **{layer.name: layer.blobs[0].data for layer in layers})
        >>> weights = LayerWeights("ip", [BlobValues((2,), np.array([1.0, 2.0]))])
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     path = Path(folder, "weights.npz")
        ...     Npz(registry()).write_weights(path, None, [weights])
        ...     Npz(registry()).read_weights(path)[0].blobs[0].data.tolist()
        [1.0, 2.0]
    """

    suffix = ""

    def __init__(self, plugins: Registry) -> None:
        self.plugins = plugins

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with the bytes ``head`` has this format."""
        raise NotImplementedError

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """Read the blobs of each layer from a weights file.

        Raises:
            CafxError: the file is unreadable, damaged or truncated.
        """
        raise NotImplementedError

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """Write a weights file atomically.

        Args:
            path: the file.
            net: the NetParameter.
            layers: the blobs of each layer of ``net``, in the same order.

        Raises:
            CafxError: the file cannot be written.
        """
        raise NotImplementedError

    def read_state(self, path: Path) -> TrainingState:
        """Read a solverstate file.

        Raises:
            CafxError: the file is unreadable, damaged or truncated.
        """
        raise NotImplementedError

    def write_state(self, path: Path, state: TrainingState) -> None:
        """Write a solverstate file atomically.

        Raises:
            CafxError: the file cannot be written.
        """
        raise NotImplementedError


def format_of(path: Path, plugins: Registry) -> Format:
    """Detect the format of a file by its first bytes; the default format if no other recognises it.

    Raises:
        CafxError: the file is missing or unreadable, or its format is not installed.
    """
    head = read_head(path)
    for plugin, format_class in plugins.usable("format"):
        if plugin.name != DEFAULT_FORMAT and format_class(plugins).recognises(head):
            return format_named(plugin.name, plugins)
    if head.startswith(b"\x89HDF"):
        raise CafxError("is an HDF5 file", where=str(path), remedy=f"try: {plugins.install_line('cafx-format-hdf5')}")
    return format_named(DEFAULT_FORMAT, plugins)


def format_named(name: str, plugins: Registry) -> Format:
    """The format of this name (``BINARYPROTO``, ``HDF5``), as in the solver's snapshot_format.

    Raises:
        UnknownNameError: no installed plugin has this name.
    """
    instance: Format = plugins.load("format", name)(plugins)
    return instance


def read_weights(path: str | Path, plugins: Registry) -> list[LayerWeights]:
    """Read the blobs of each layer from a weights file of any installed format.

    Raises:
        CafxError: as `format_of` and `Format.read_weights`.
    """
    entries = format_of(Path(path), plugins).read_weights(Path(path))
    for _, upgrader in plugins.usable("upgrade"):
        entries = list(upgrader().upgrade_weights(entries))
    return entries


def not_weights(path: Path, head: bytes, reason: str) -> CafxError:
    """The error for a file that is not a complete weights file.

    Args:
        path: the file.
        head: its first bytes, by which the error names its actual content.
        reason: what is wrong with it.
    """
    return misplaced(path, Kinds.WEIGHTS, Kinds.HDF5) or CafxError(
        f"is not a complete caffemodel: {reason}",
        where=str(path),
        found=sniff(head),
        remedy="download the file again (git lfs pull, or from the model's download link)",
    )
