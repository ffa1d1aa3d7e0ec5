"""Weights and solver states on disk: what they hold, the seam for formats, and atomic writes."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

import attrs
import numpy.typing as npt

from cafx.kernel.blob import Shape
from cafx.kernel.errors import CafxError
from cafx.kernel.registry import Registry
from cafx.kernel.schema import read_head, sniff

DEFAULT_FORMAT = "BINARYPROTO"


ABSENT: Shape = (-1,)


@attrs.frozen(eq=False)
class BlobValues:
    """One blob of a file; of shape `ABSENT` where the file leaves it to the layer that owns it."""

    shape: Shape
    data: npt.NDArray[Any]
    diff: npt.NDArray[Any] | None = None
    legacy: bool = False


@attrs.frozen(eq=False)
class LayerWeights:
    """The blobs a file holds for one layer."""

    name: str
    blobs: list[BlobValues]
    type: str = ""


@attrs.frozen(eq=False)
class TrainingState:
    """What a solverstate holds.

    Attributes:
        iter: iterations done.
        learned_net: path of the weights written with it.
        history: the solver's memory, slot by slot, each in the order of the parameters.
        current_step: steps the policy has taken.
        exact: what an exact resume needs beyond that (None in files Caffe wrote).
    """

    iter: int
    learned_net: str
    history: list[BlobValues]
    current_step: int = 0
    exact: dict[str, Any] | None = None


class Format:
    """A way to write weights and states; plugins of group ``cafx.formats`` bring further ones.

    Attributes:
        suffix: what file names end with, after ``.caffemodel`` or ``.solverstate``.
    """

    suffix = ""

    def __init__(self, plugins: Registry) -> None:
        self.plugins = plugins

    def recognises(self, head: bytes) -> bool:
        """Whether a file that begins with these bytes is of this format."""
        raise NotImplementedError

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """The blobs of each layer in a weights file."""
        raise NotImplementedError

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """Write a weights file; ``net`` is the NetParameter, its layers as many as ``layers``."""
        raise NotImplementedError

    def read_state(self, path: Path) -> TrainingState:
        """The state in a solverstate file."""
        raise NotImplementedError

    def write_state(self, path: Path, state: TrainingState) -> None:
        """Write a solverstate file."""
        raise NotImplementedError


def format_of(path: Path, plugins: Registry) -> Format:
    """The format of an existing file, by its first bytes: the default one where none claims it."""
    head = read_head(path)
    for plugin, found in plugins.usable("format"):
        if plugin.name != DEFAULT_FORMAT and found(plugins).recognises(head):
            return format_named(plugin.name, plugins)
    if head.startswith(b"\x89HDF"):
        raise CafxError("is an HDF5 file", where=str(path), remedy="try 'pip install cafx-format-hdf5'")
    return format_named(DEFAULT_FORMAT, plugins)


def format_named(name: str, plugins: Registry) -> Format:
    """The format snapshots are asked for in."""
    made: Format = plugins.load("format", name)(plugins)
    return made


def read_weights(path: str | Path, plugins: Registry) -> list[LayerWeights]:
    """The blobs of each layer in a weights file of any installed format."""
    return format_of(Path(path), plugins).read_weights(Path(path))


@contextmanager
def atomic_write(path: Path) -> Iterator[IO[bytes]]:
    """A file that takes its name only when it is whole and on disk.

    Raises:
        CafxError: the folder is missing or the disk full; what was there before is untouched.
    """
    temporary = None
    try:
        with tempfile.NamedTemporaryFile(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part", delete=False
        ) as file:
            temporary = Path(file.name)
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
        temporary = None
        _sync_folder(path.parent)
    except OSError as error:
        raise CafxError(
            f"cannot be written: {error.strerror}",
            where=str(path),
            remedy="check that the folder exists, is writable and has room",
        ) from error
    finally:
        if temporary is not None:
            temporary.unlink(missing_ok=True)


def not_weights(path: Path, head: bytes, reason: str) -> CafxError:
    """The error for a file that pretends to be a caffemodel."""
    return CafxError(
        f"is not a complete caffemodel: {reason}",
        where=str(path),
        found=sniff(head),
        remedy="fetch the file again (git lfs pull, or the model's own download link)",
    )


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
