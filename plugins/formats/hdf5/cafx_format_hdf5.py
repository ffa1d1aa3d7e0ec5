"""HDF5: weights and solver states in the files Caffe writes with ``snapshot_format: HDF5``."""

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
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState, atomic_write, not_weights
from cafx.kernel.schema import sniff

SIGNATURE = b"\x89HDF\r\n\x1a\n"
HEAD = 64
MOST_BLOBS = 1000
DATA, DIFF = "data", "diff"
ITER, STEP, NET, HISTORY, EXACT = "iter", "current_step", "learned_net", "history", "cafx_state"


class HDF5(Format):
    """``.caffemodel.h5``: a group /data/LAYER a layer, datasets 0, 1, … its blobs; /diff the gradients.

    A parameter that a layer shares with an earlier one is not stored again. ``.solverstate.h5``:
    datasets iter, current_step and learned_net, group history; ``cafx_state`` is ours, and Caffe
    reads past it.
    """

    suffix = ".h5"

    def recognises(self, head: bytes) -> bool:
        """See `Format`."""
        return head.startswith(SIGNATURE)

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """See `Format`."""
        with _reading(path, "caffemodel") as file:
            if not isinstance(file.get(DATA), h5py.Group):
                raise not_weights(path, _head(path), "it has no group 'data'")
            diffs = file.get(DIFF)
            found = list(_layers(file[DATA], diffs if isinstance(diffs, h5py.Group) else None))
        if not found:
            raise not_weights(path, _head(path), "it holds no layers")
        return found

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """See `Format`."""
        owned: set[str] = set()
        with _writing(path) as file:
            groups = [file.create_group(DATA)]
            if any(blob.diff is not None for layer in layers for blob in layer.blobs):
                groups.append(file.create_group(DIFF))
            for proto, layer in zip(net.layer, layers, strict=True):
                places = [group.require_group(layer.name) for group in groups]
                for index, blob in enumerate(layer.blobs):
                    name = proto.param[index].name if index < len(proto.param) else ""
                    if name and name in owned:
                        continue
                    owned.add(name)
                    for place, values in zip(places, (blob.data, blob.diff), strict=False):
                        if values is not None:
                            place[str(index)] = np.asarray(values).reshape(blob.shape)

    def read_state(self, path: Path) -> TrainingState:
        """See `Format`."""
        with _reading(path, "solverstate") as file:
            for name in (ITER, NET, HISTORY):
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


def _layers(group: Any, diffs: Any, prefix: str = "") -> Iterator[LayerWeights]:
    """The layers below a group; one whose name has a slash lies in groups within groups."""
    for name, child in group.items():
        if not isinstance(child, h5py.Group):
            continue
        below = [each for each in child.values() if isinstance(each, h5py.Group)]
        held = {key for key, each in child.items() if isinstance(each, h5py.Dataset)}
        if held or not below:
            gradients = diffs.get(prefix + name) if diffs is not None else None
            last = max(map(int, filter(str.isdigit, held)), default=-1)
            if last >= MOST_BLOBS:
                raise _damaged(Path(group.file.filename), "caffemodel", f"layer '{prefix}{name}' has a blob {last}")
            blobs = [
                _blob(child[key], Path(group.file.filename), gradients.get(key) if gradients else None)
                if key in held
                else BlobValues(ABSENT, np.empty(0))
                for key in map(str, range(last + 1))
            ]
            yield LayerWeights(prefix + name, blobs)
        yield from _layers(child, diffs, f"{prefix}{name}/") if below else ()


def _blob(dataset: Any, path: Path, gradient: Any = None) -> BlobValues:
    if not isinstance(dataset, h5py.Dataset) or dataset.dtype.kind != "f":
        raise CafxError(f"'{dataset.name}' holds no numbers", where=str(path), found=str(dataset))
    diff = np.asarray(gradient).reshape(-1) if isinstance(gradient, h5py.Dataset) else None
    return BlobValues(tuple(dataset.shape), np.asarray(dataset).reshape(-1), diff)


def _write_text(file: Any, name: str, text: str) -> None:
    """A string as C programs read it: of fixed size, with a zero at its end."""
    encoded = text.encode()
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(encoded) + 1)
    made = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    made.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(encoded, f"S{len(encoded) + 1}"), mtype=kind)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[Any]:
    """The file, open; whatever HDF5 finds wrong with it as a CafxError."""
    try:
        with h5py.File(path, "r") as file:
            yield file
    except (OSError, KeyError, ValueError, RuntimeError) as error:
        raise _damaged(path, what, str(error)) from error


@contextmanager
def _writing(path: Path) -> Iterator[Any]:
    """A file that takes its name only when it is whole.

    It is made in memory first: where the disk is full, HDF5's own writing ends in a crash.
    """
    made = io.BytesIO()
    with h5py.File(made, "w") as file:
        yield file
    with atomic_write(path) as written:
        written.write(made.getbuffer())


def _damaged(path: Path, what: str, reason: str) -> CafxError:
    return CafxError(
        f"is not a complete {what}: {reason}", where=str(path), found=sniff(_head(path)),
        remedy="fetch the file again, or take an older snapshot",
    )  # fmt: skip


def _head(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(HEAD)
