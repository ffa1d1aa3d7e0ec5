"""Blobs of layers as tensors called ``LAYER.INDEX``."""

from __future__ import annotations

import json
import mmap
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Format
from cafx.kernel.files import atomic_write, open_file, shown, unreadable
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState
from cafx_format_safetensors.layout import LENGTH_BYTES, MAX_SHOWN, TYPES, Header, Malformed, Tensor, header_length

if TYPE_CHECKING:
    from cafx.conformance.kinds.format import FormatCase

DIFF = "diff"
INDEX_DIGITS = 3
OURS = "cafx"
DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
BRAIN_FLOAT = "BF16"
REMEDY = "download the file again"
Entry = tuple[str, str, npt.NDArray[Any]]
"""Name, type and values of a tensor to write."""


class Safetensors(Format):
    """Safetensors files.

    A blob is the tensor ``LAYER.INDEX``, its gradient ``LAYER.INDEX.diff``. A shared parameter is stored once, with
    the first layer that uses it. The metadata ``cafx`` holds what the format has no place for: the order and types of
    all layers, which blobs are shared, and which have a shape of four numbers by Caffe's old rules. A file without
    it, by another program, is read all the same.
    """

    suffix = ".safetensors"

    def recognises(self, head: bytes) -> bool:
        """See `Format`."""
        return header_length(head) is not None and head[LENGTH_BYTES : LENGTH_BYTES + 1] == b"{"

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """See `Format`; values are views of the file, except for BF16, which NumPy lacks."""
        try:
            data = _mapped(path)
            header = Header.parse(data)
            layers = _layers(header, {name: _values(each, header, data) for name, each in header.tensors.items()})
        except Malformed as error:
            raise CafxError(f"is not a usable safetensors file: {error}", where=shown(path), remedy=REMEDY) from None
        if not layers:
            raise CafxError("has no layers", where=shown(path), remedy=REMEDY)
        return layers

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """See `Format`; parameters with one name are stored once if they have the same values, bit for bit."""
        entries: dict[str, Entry] = {}
        shared: dict[str, str] = {}
        legacy: list[str] = []
        owners: dict[str, tuple[str, BlobValues]] = {}
        for proto, layer in zip(net.layer, layers, strict=True):
            for index, blob in enumerate(layer.blobs):
                name = f"{layer.name}.{index}"
                parameter = proto.param[index].name if index < len(proto.param) else ""
                owner = owners.setdefault(parameter, (name, blob)) if parameter else (name, blob)
                if owner[0] != name and _is_same(owner[1], blob):
                    shared[name] = owner[0]
                    continue
                if name in entries:
                    raise CafxError(f"two layers are called '{layer.name}'", where=shown(path), remedy="rename one")
                _check_writable(blob, name, path)
                legacy += [name] if blob.legacy else []
                entries.update((each[0], each) for each in _entries(name, blob))
        described = {
            "layers": [[layer.name, layer.type or proto.type] for proto, layer in zip(net.layer, layers, strict=True)],
            **({"shared": shared} if shared else {}),
            **({"legacy": legacy} if legacy else {}),
        }
        _write(path, list(entries.values()), json.dumps(described, separators=(",", ":")))

    def read_state(self, path: Path) -> TrainingState:
        """See `Format`; always an error."""
        raise CafxError("is not a solverstate", where=shown(path), found="weights", remedy="it belongs to --weights")

    def write_state(self, path: Path, state: TrainingState) -> None:
        """See `Format`; always an error."""
        raise CafxError("safetensors files hold weights only", where=shown(path), remedy="save the state as HDF5")

    @classmethod
    def cases(cls) -> Iterable[FormatCase]:
        """What it holds."""
        from cafx.conformance.kinds.format import FormatCase

        yield FormatCase("plain", states=False)


def _mapped(path: Path) -> memoryview:
    try:
        with open_file(path) as file:
            if not os.fstat(file.fileno()).st_size:
                raise Malformed("it is empty")
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def _values(tensor: Tensor, header: Header, data: memoryview) -> npt.NDArray[Any]:
    """The values of a tensor, flat."""
    part = data[header.size + tensor.begin : header.size + tensor.end]
    if tensor.dtype == BRAIN_FLOAT:
        return (np.frombuffer(part, "<u2").astype(np.uint32) << 16).view(np.float32)
    return np.frombuffer(part, DTYPES[tensor.dtype])


def _layers(header: Header, values: Mapping[str, npt.NDArray[Any]]) -> list[LayerWeights]:
    """The tensors by layer."""
    described = _described(header.metadata.get(OURS))
    legacy = set(described["legacy"])
    blobs: dict[str, dict[int, BlobValues]] = {}
    for name, tensor in header.tensors.items():
        layer, index, is_diff = _split(name)
        if not is_diff:
            diff = values.get(f"{name}.{DIFF}")
            if diff is not None and diff.size != values[name].size:
                raise Malformed(f"tensor {name[:MAX_SHOWN]!r} and its gradient differ in size")
            blob = BlobValues(tensor.shape, values[name], diff, name in legacy)
            blobs.setdefault(layer, {})[index] = blob
        elif name.removesuffix(f".{DIFF}") not in header.tensors:
            raise Malformed(f"the gradient {name[:MAX_SHOWN]!r} has no blob")
    for name, owner in described["shared"].items():
        (layer, index, _), (its_layer, its_index, _) = _split(name), _split(owner)
        if owner not in header.tensors or name in header.tensors:
            raise Malformed(f"{name[:MAX_SHOWN]!r} shares a blob that is not there")
        blobs.setdefault(layer, {})[index] = blobs[its_layer][its_index]
    types = dict(described["layers"])
    order = [*types, *(name for name in blobs if name not in types)]
    return [LayerWeights(name, _in_order(name, blobs.get(name, {})), types.get(name, "")) for name in order]


def _in_order(layer: str, blobs: dict[int, BlobValues]) -> list[BlobValues]:
    if sorted(blobs) != list(range(len(blobs))):
        raise Malformed(f"layer {layer[:MAX_SHOWN]!r} has blobs {sorted(blobs)[:5]}, not 0, 1, …")
    return [blobs[index] for index in range(len(blobs))]


def _described(text: str | None) -> dict[str, Any]:
    """The metadata of a file that cafx wrote; empty for another's."""
    try:
        stated = json.loads(text or "{}")
        layers, shared, legacy = stated.get("layers", []), stated.get("shared", {}), stated.get("legacy", [])
        pairs = [(name, kind) for name, kind in layers]
        texts = [each for pair in (*pairs, *shared.items(), (*legacy, "")) for each in pair]
    except (ValueError, TypeError, AttributeError, RecursionError):
        raise Malformed(f"its metadata '{OURS}' is damaged") from None
    if not all(isinstance(each, str) for each in texts):
        raise Malformed(f"its metadata '{OURS}' is damaged")
    return {"layers": pairs, "shared": shared, "legacy": legacy}


def _split(name: str) -> tuple[str, int, bool]:
    """Layer and index of a tensor's name, and whether it is a gradient."""
    plain = name.removesuffix(f".{DIFF}")
    layer, dot, index = plain.rpartition(".")
    if not dot or not (index.isascii() and index.isdigit()) or len(index) > INDEX_DIGITS or str(int(index)) != index:
        raise Malformed(f"tensor {name[:MAX_SHOWN]!r} is not called LAYER.INDEX, such as conv1.0 for weights of conv1")
    return layer, int(index), plain != name


def _is_same(one: BlobValues, other: BlobValues) -> bool:
    """Whether a blob need not be stored beside another one of the same parameter."""
    if other.shape == ABSENT:
        return True
    return (
        (one.shape, one.legacy, one.data.dtype) == (other.shape, other.legacy, other.data.dtype)
        and _are_identical(one.data, other.data)
        and _are_identical(one.diff, other.diff)
    )


def _are_identical(one: npt.NDArray[Any] | None, other: npt.NDArray[Any] | None) -> bool:
    """Whether two arrays are equal, NaNs and signs of zeros included."""
    if one is None or other is None:
        return one is other
    return np.array_equal(np.ascontiguousarray(one).view(np.uint8), np.ascontiguousarray(other).view(np.uint8))


def _check_writable(blob: BlobValues, name: str, path: Path) -> None:
    if blob.shape == ABSENT:
        remedy = "name the net that the weights belong to"
        raise CafxError(f"nothing says whose parameter '{name}' shares", where=shown(path), remedy=remedy)
    if _type_of(blob.data) is None:
        raise CafxError(f"'{name}' has no floating-point values", where=shown(path), found=blob.data.dtype)


def _type_of(values: npt.NDArray[Any]) -> str | None:
    return next((name for name, dtype in DTYPES.items() if np.dtype(dtype) == values.dtype.newbyteorder("<")), None)


def _entries(name: str, blob: BlobValues) -> Iterator[Entry]:
    for title, values in ((name, blob.data), (f"{name}.{DIFF}", blob.diff)):
        if values is not None:
            yield title, str(_type_of(values)), values.reshape(blob.shape)


def _write(path: Path, entries: list[Entry], described: str) -> None:
    """Write a file; wide values come first, so that all are aligned."""
    entries.sort(key=lambda entry: -TYPES[entry[1]])
    head = Header.encode(
        [(name, kind, values.shape) for name, kind, values in entries], {"format": OURS, OURS: described}
    )
    with atomic_write(path) as file:
        file.write(head)
        for _, kind, values in entries:
            file.write(np.ascontiguousarray(values, DTYPES[kind]).tobytes())
