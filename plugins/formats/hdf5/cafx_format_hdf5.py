"""HDF5: the files of weights and solver states that Caffe writes with ``snapshot_format: HDF5``."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import h5py
import numpy as np

from cafx.kernel import CafxError, Format
from cafx.kernel.files import Kinds, read_head, sniff
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState, not_weights
from cafx_lib_hdf5 import Damaged, Dataset, File, writing
from cafx_lib_states import Malformed, checked, parse

if TYPE_CHECKING:
    from cafx.conformance.kinds.format import FormatCase

SIGNATURE = b"\x89HDF\r\n\x1a\n"
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
            if DATA not in file.groups:
                raise _no_weights(path, file)
            layers = list(_layers(file, path))
        if not layers:
            raise not_weights(path, read_head(path), "it has no layers")
        return layers

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """See `Format`."""
        stored: set[str] = set()
        with writing(path) as target:
            file = target.file
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
                if name not in file.names and DATA in file.names:
                    remedy = "name the solverstate beside it; weights belong to --weights"
                    raise CafxError("is not a solverstate", where=str(path), found="a caffemodel", remedy=remedy)
            held = [name for name in file.datasets if name.startswith(f"{HISTORY}/")]
            history = [_blob(file, f"{HISTORY}/{index}", path) for index in range(len(held))]
            learned = file.read_bytes(_needed(file, NET)).split(b"\0", 1)[0].decode("utf-8", "replace")
            exact = parse(file.read_bytes(_needed(file, EXACT))) if EXACT in file.names else None
            step = _whole(file, STEP) if STEP in file.names else 0
            if HISTORY not in file.groups:
                raise Damaged(f"it has no '{HISTORY}'")
            return checked(TrainingState(_whole(file, ITER), learned, history, step, exact))

    def write_state(self, path: Path, state: TrainingState) -> None:
        """See `Format`."""
        with writing(path) as target:
            file = target.file
            file[ITER] = np.array([state.iter], np.int32)
            file[STEP] = np.array([state.current_step], np.int32)
            _write_text(file, NET, state.learned_net)
            history = file.create_group(HISTORY)
            for index, blob in enumerate(state.history):
                history[str(index)] = np.asarray(blob.data).reshape(blob.shape)
            if state.exact is not None:
                file[EXACT] = np.void(json.dumps(state.exact).encode())

    @classmethod
    def cases(cls) -> Iterable[FormatCase]:
        """What it holds; a small file is of some thousand bytes."""
        from cafx.conformance.kinds.format import FormatCase

        yield FormatCase("plain", positions=120)


def _no_weights(path: Path, file: File) -> CafxError:
    """The error for an HDF5 file without weights: a solverstate, or data."""
    if HISTORY in file.names:
        remedy = "name the caffemodel beside it; a solverstate belongs to --snapshot"
        return CafxError("is not a caffemodel", where=str(path), found="a solverstate", remedy=remedy)
    found = "an HDF5 file with " + (", ".join(file.names[:4]) or "nothing")
    return CafxError(
        "is not a caffemodel: it has no group 'data'", where=str(path), found=found, remedy=Kinds.HDF5.belongs
    )


def _layers(file: File, path: Path) -> Iterator[LayerWeights]:
    """Iterate over the layers in /data; a layer with slashes in its name is stored in nested groups."""
    outer = {group.rpartition("/")[0] for group in file.groups}
    blobs_of: dict[str, list[str]] = {}
    for name in file.datasets:
        group, _, blob = name.rpartition("/")
        blobs_of.setdefault(group, []).append(blob)
    for group in sorted(file.groups, key=lambda name: name.split("/")):
        if group.startswith(f"{DATA}/") and (group in blobs_of or group not in outer):
            yield _layer(file, group.removeprefix(f"{DATA}/"), blobs_of.get(group, []), path)


def _layer(file: File, name: str, stored: Sequence[str], path: Path) -> LayerWeights:
    """A layer's blobs; those it shares with an earlier layer are absent."""
    numbers = [int(blob) for blob in stored if blob.isascii() and blob.isdigit() and len(blob) <= len(str(MAX_BLOBS))]
    last = max(numbers, default=-1)
    if last >= MAX_BLOBS:
        raise Damaged(f"layer '{name}' has a blob {last}")
    blobs = []
    for index in range(last + 1):
        if str(index) not in stored:
            blobs.append(BlobValues(ABSENT, np.empty(0)))
            continue
        gradient = file.get(f"{DIFF}/{name}/{index}")
        blobs.append(_blob(file, f"{DATA}/{name}/{index}", path, gradient))
    return LayerWeights(name, blobs)


def _blob(file: File, name: str, path: Path, gradient: Dataset | None = None) -> BlobValues:
    dataset = _needed(file, name)
    for each in filter(None, (dataset, gradient)):
        if not each.is_numbers or each.dtype is None or each.dtype.kind != "f":
            found = f"type {each.dtype}" if each.dtype else "another type"
            raise CafxError(f"'{each.name}' has no floating-point values", where=str(path), found=found)
    diff = None if gradient is None else file.read(gradient).reshape(-1)
    if diff is not None and diff.size != math.prod(dataset.shape or ()):
        raise Damaged(f"'{gradient.name}' has {diff.size} values for a blob of shape {dataset.shape}")
    return BlobValues(dataset.shape or (), file.read(dataset).reshape(-1), diff)


def _needed(file: File, name: str) -> Dataset:
    dataset = file.get(name)
    if dataset is None:
        raise Damaged(f"it has no '{name}'")
    return dataset


def _whole(file: File, name: str) -> int:
    """A whole number, alone or as the first of an array."""
    dataset = _needed(file, name)
    values = file.read(dataset).reshape(-1) if dataset.is_numbers else np.empty(0)
    if not values.size or values.dtype.kind not in "iu":
        raise Damaged(f"'{name}' is not a whole number")
    return int(values[0])


def _write_text(file: Any, name: str, text: str) -> None:
    """Write a fixed-size, zero-terminated string, as Caffe's C++ code reads it."""
    encoded = text.encode()
    kind = h5py.h5t.C_S1.copy()
    kind.set_size(len(encoded) + 1)
    dataset = h5py.h5d.create(file.id, name.encode(), kind, h5py.h5s.create(h5py.h5s.SCALAR))
    dataset.write(h5py.h5s.ALL, h5py.h5s.ALL, np.array(encoded, f"S{len(encoded) + 1}"), mtype=kind)


@contextmanager
def _reading(path: Path, what: str) -> Iterator[File]:
    """Open a file for reading and convert its errors."""
    try:
        with File(path) as file:
            yield file
    except (Damaged, Malformed) as error:
        raise CafxError(
            f"is not a complete {what}: {error}",
            where=str(path),
            found=sniff(read_head(path)),
            remedy="download the file again, or use an older snapshot",
        ) from error
