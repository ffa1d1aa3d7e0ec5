"""HDF5: the files of weights and solver states that Caffe writes with ``snapshot_format: HDF5``."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from cafx.kernel import CafxError, Format
from cafx.kernel.files import Kinds, atomic_write, sniff
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState, not_weights

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD = 64
MAX_BLOBS = 1000
DATA, DIFF = "data", "diff"
ITER, STEP, NET, HISTORY, EXACT = "iter", "current_step", "learned_net", "history", "cafx_state"


class HDF5(Format):
    """Caffe's HDF5 files.

    ``.caffemodel.h5``: group /data/LAYER for each layer, with its blobs as datasets 0, 1, …; likewise their
    gradients in /diff. A shared parameter is stored only with the first layer that uses it.

    ``.solverstate.h5``: datasets iter, current_step and learned_net, and group history. The dataset
    cafx_state is an addition, which Caffe ignores.
    """

    suffix = ".h5"

    def recognises(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(SIGNATURE)

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """See `Format`."""
        with _reading(path, "caffemodel") as file:
            if not isinstance(file.get(DATA), h5py.Group):
                raise _no_weights(path, file)
            diffs = file.get(DIFF)
            layers = list(_layers(file[DATA], diffs if isinstance(diffs, h5py.Group) else None))
        if not layers:
            raise not_weights(path, _head(path), "it has no layers")
        return layers

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """See `Format`."""
        stored: set[str] = set()
        with _writing(path) as file:
            groups = [file.create_group(DATA)]
            if any(blob.diff is not None for layer in layers for blob in layer.blobs):
                groups.append(file.create_group(DIFF))
            for proto, layer in zip(net.layer, layers, strict=True):
                layer_groups = [group.require_group(layer.name) for group in groups]
                for index, blob in enumerate(layer.blobs):
                    name = proto.param[index].name if index < len(proto.param) else ""
                    if name and name in stored:
                        continue
                    stored.add(name)
                    for group, values in zip(layer_groups, (blob.data, blob.diff), strict=False):
                        if values is not None:
                            group[str(index)] = np.asarray(values).reshape(blob.shape)

    def read_state(self, path: Path) -> TrainingState:
        """See `Format`."""
        with _reading(path, "solverstate") as file:
            for name in (ITER, NET, HISTORY):
                if name not in file and DATA in file:
                    remedy = "name the solverstate beside it; weights belong to --weights"
                    raise CafxError("is not a solverstate", where=str(path), found="a caffemodel", remedy=remedy)
                if name not in file:
                    raise _damaged(path, "solverstate", f"it has no '{name}'")
            slots = file[HISTORY]
            history = [_blob(slots[str(index)], path) for index in range(len(slots))]
            learned = file[NET][()]
            exact = json.loads(bytes(file[EXACT][()])) if EXACT in file else None
            step = int(file[STEP][0]) if STEP in file else 0
            return TrainingState(int(file[ITER][0]), learned.decode("utf-8", "replace"), history, step, exact)

    def write_state(self, path: Path, state: TrainingState) -> None:
        """See `Format`."""
        with _writing(path) as file:
            file[ITER] = np.array([state.iter], np.int32)
            file[STEP] = np.array([state.current_step], np.int32)
            _write_text(file, NET, state.learned_net)
            history = file.create_group(HISTORY)
            for index, blob in enumerate(state.history):
                history[str(index)] = np.asarray(blob.data).reshape(blob.shape)
            if state.exact is not None:
                file[EXACT] = np.void(json.dumps(state.exact).encode())


def _no_weights(path: Path, file: Any) -> CafxError:
    """The error for an HDF5 file without weights: a solverstate, or data."""
    if HISTORY in file:
        remedy = "name the caffemodel beside it; a solverstate belongs to --snapshot"
        return CafxError("is not a caffemodel", where=str(path), found="a solverstate", remedy=remedy)
    found = "an HDF5 file with " + (", ".join(sorted(file)[:4]) or "nothing")
    return CafxError(
        "is not a caffemodel: it has no group 'data'", where=str(path), found=found, remedy=Kinds.HDF5.belongs
    )


def _layers(group: Any, diffs: Any, prefix: str = "") -> Iterator[LayerWeights]:
    """Iterate over the layers in a group; a layer with slashes in its name is stored in nested groups."""
    for name, child in group.items():
        if not isinstance(child, h5py.Group):
            continue
        subgroups = [each for each in child.values() if isinstance(each, h5py.Group)]
        datasets = {key for key, each in child.items() if isinstance(each, h5py.Dataset)}
        if datasets or not subgroups:
            gradients = diffs.get(prefix + name) if diffs is not None else None
            last = max(map(int, filter(str.isdigit, datasets)), default=-1)
            if last >= MAX_BLOBS:
                raise _damaged(Path(group.file.filename), "caffemodel", f"layer '{prefix}{name}' has a blob {last}")
            blobs = [
                _blob(child[key], Path(group.file.filename), gradients.get(key) if gradients else None)
                if key in datasets
                else BlobValues(ABSENT, np.empty(0))
                for key in map(str, range(last + 1))
            ]
            yield LayerWeights(prefix + name, blobs)
        yield from _layers(child, diffs, f"{prefix}{name}/") if subgroups else ()


def _blob(dataset: Any, path: Path, gradient: Any = None) -> BlobValues:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise CafxError(f"'{dataset.name}' has no floating-point values", where=str(path), found=str(dataset))
    diff = np.asarray(gradient).reshape(-1) if isinstance(gradient, h5py.Dataset) else None
    return BlobValues(tuple(dataset.shape), np.asarray(dataset).reshape(-1), diff)


def _write_text(file: Any, name: str, text: str) -> None:
    """Write a fixed-size, zero-terminated string, as Caffe's C++ code reads it."""
    encoded = text.encode()
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(encoded) + 1)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(encoded, f"S{len(encoded) + 1}"), mtype=kind)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[Any]:
    """Open a file for reading and convert HDF5's errors."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, what, str(error)) from error


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    """Create a file in memory, then write it atomically: HDF5 itself would crash on a full disk."""
    buffer = io.BytesIO()
    with h5py.File(buffer, "w") as file:
        yield file
    with atomic_write(path) as target:
        target.write(buffer.getbuffer())


def _damaged(path: Path, what: str, reason: str) -> CafxError:
    return CafxError(
        f"is not a complete {what}: {reason}",
        where=str(path),
        found=sniff(_head(path)),
        remedy="download the file again, or use an older snapshot",
    )


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
