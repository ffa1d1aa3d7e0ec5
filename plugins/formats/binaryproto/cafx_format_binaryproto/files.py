"""Weights, solver states and single blobs in Caffe's binary protobuf files, read as untrusted input.

Weights are read by walking protobuf's wire format. Only names and blobs are interpreted, so that files of
any fork of Caffe can be read, and values are views of the memory-mapped file, without a copy.
"""

from __future__ import annotations

import json
import math
import mmap
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError, Format, schema
from cafx.kernel.blob import Shape, shape_text
from cafx.kernel.files import HEAD, Kinds, atomic_write, misplaced, open_file, sniff, unreadable
from cafx.kernel.net import BlobValues, LayerWeights, TrainingState, not_weights
from cafx_format_binaryproto import wire
from cafx_lib_states import Malformed, checked, parse

if TYPE_CHECKING:
    from cafx.conformance.kinds.format import FormatCase

BLOBS_FIELD = 7
SHAPE_FIELD, DATA_FIELD, DIFF_FIELD, DOUBLE_DATA_FIELD, DOUBLE_DIFF_FIELD = 7, 5, 6, 8, 9
LEGACY_DIMS = (1, 2, 3, 4)


class BinaryProto(Format):
    """Caffe's binary protobuf files; the default format."""

    def recognises(self, head: bytes) -> bool:
        """See `Format`; protobuf has no signature, so that any file of no other format may be this."""
        return not head.startswith(b"\x89HDF")

    def read_weights(self, path: Path) -> list[LayerWeights]:
        """See `Format`; a file without layers is an error."""
        data = map_file(path)
        kinds = {wire.LAYER.field: wire.LAYER}
        for _, upgrader in self.plugins.usable("upgrade"):
            kinds.update(upgrader.wire_layers)
        try:
            layers = [_layer(view, kinds[number]) for number, view in wire.messages(data, kinds)]
        except wire.Malformed as error:
            raise not_weights(path, bytes(data[:HEAD]), str(error)) from None
        if not any(layer.name or layer.blobs for layer in layers):
            raise not_weights(path, bytes(data[:HEAD]), "it has no layers")
        return layers

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        """See `Format`; writes one layer at a time to save memory."""
        without_layers = type(net)()
        without_layers.CopyFrom(net)
        del without_layers.layer[:]
        with atomic_write(path) as file:
            file.write(without_layers.SerializeToString())
            for proto, layer in zip(net.layer, layers, strict=True):
                pieces = [proto.SerializeToString()]
                pieces += [piece for blob in layer.blobs for piece in _encode(BLOBS_FIELD, blob)]
                wire.write_message(file, wire.LAYER.field, pieces)

    def read_state(self, path: Path) -> TrainingState:
        """See `Format`."""
        data = map_file(path)
        state_class = schema(self.plugins)["SolverState"]
        history: list[BlobValues] = []
        rest = bytearray()
        try:
            for number, raw, payload in wire.fields(data):
                if number == state_class.HISTORY_FIELD_NUMBER and isinstance(payload, memoryview):
                    history.append(read_blob(payload))
                else:
                    rest += raw
        except wire.Malformed as error:
            raise _not_state(path, bytes(data[:HEAD]), str(error)) from None
        state = schema(self.plugins).parse_bytes(bytes(rest), "SolverState", str(path))
        if not state.HasField("iter"):
            raise _not_state(path, bytes(data[:HEAD]), "it has no iteration")
        try:
            exact = parse(state.cafx_state) if state.HasField("cafx_state") else None
            return checked(TrainingState(state.iter, _text(state.learned_net), history, state.current_step, exact))
        except Malformed as error:
            raise _not_state(path, bytes(data[:HEAD]), str(error)) from None

    def write_state(self, path: Path, state: TrainingState) -> None:
        """See `Format`."""
        proto = schema(self.plugins)["SolverState"](
            iter=state.iter, learned_net=state.learned_net, current_step=state.current_step
        )
        if state.exact is not None:
            proto.cafx_state = json.dumps(state.exact).encode()
        with atomic_write(path) as file:
            file.write(proto.SerializeToString())
            for blob in state.history:
                for piece in _encode(proto.HISTORY_FIELD_NUMBER, blob):
                    file.write(piece)

    @classmethod
    def cases(cls) -> Iterable[FormatCase]:
        """What it holds."""
        from cafx.conformance.kinds.format import FormatCase

        yield FormatCase("plain")


def map_file(path: Path) -> memoryview:
    """Map a file into memory.

    Raises:
        CafxError: the file cannot be read.
    """
    try:
        with open_file(path) as file:
            size = os.fstat(file.fileno()).st_size
            return memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) if size else b"")
    except (OSError, ValueError) as error:
        raise unreadable(path, error) from None


def read_blob(data: memoryview) -> BlobValues:
    """Parse a BlobProto; its values are views of ``data``.

    Raises:
        wire.Malformed: the message is not valid, or the number of values does not match the shape.
    """
    shape: Shape = ()
    legacy: dict[int, int] = {}
    chunks: dict[int, list[npt.NDArray[Any]]] = {}
    for number, _, payload in wire.fields(data):
        if number in LEGACY_DIMS and isinstance(payload, int):
            legacy[number] = payload
        elif number == SHAPE_FIELD and isinstance(payload, memoryview):
            shape = tuple(wire.integers(payload))
        elif number in (DATA_FIELD, DIFF_FIELD):
            chunks.setdefault(number, []).append(wire.values(payload, "<f4"))
        elif number in (DOUBLE_DATA_FIELD, DOUBLE_DIFF_FIELD):
            chunks.setdefault(number, []).append(wire.values(payload, "<f8"))
    if legacy:
        shape = tuple(legacy.get(number, 0) for number in LEGACY_DIMS)
    values = {number: np.concatenate(parts) if len(parts) > 1 else parts[0] for number, parts in chunks.items()}
    data_values = values.get(DOUBLE_DATA_FIELD, values.get(DATA_FIELD, np.empty(0, "<f4")))
    if any(length < 0 for length in shape) or math.prod(shape) != data_values.size:
        raise wire.Malformed(f"a blob of shape {shape_text(shape)} with {data_values.size} values")
    return BlobValues(shape, data_values, values.get(DOUBLE_DIFF_FIELD, values.get(DIFF_FIELD)), bool(legacy))


def read_binaryproto(path: str | Path) -> npt.NDArray[Any]:
    """Read the array in a binaryproto file, such as a mean image.

    Raises:
        CafxError: the file cannot be read, or is not a binaryproto.
    """
    data = map_file(Path(path))
    try:
        blob = read_blob(data)
    except wire.Malformed as error:
        raise _not_array(path, bytes(data[:HEAD]), f": {error}") from None
    if not blob.data.size:
        raise _not_array(path, bytes(data[:HEAD]))
    return blob.data.reshape(blob.shape)


def _not_array(path: str | Path, head: bytes, reason: str = "") -> CafxError:
    return misplaced(path, Kinds.ARRAY) or CafxError(
        f"is not a binaryproto{reason}", where=str(path), found=sniff(head)
    )


def write_binaryproto(path: str | Path, array: npt.NDArray[Any]) -> None:
    """Write an array to a binaryproto file, atomically.

    Raises:
        CafxError: the file cannot be written.
    """
    with atomic_write(Path(path)) as file:
        for piece in _blob_pieces(BlobValues(array.shape, array.reshape(-1))):
            file.write(piece)


def _not_state(path: Path, head: bytes, reason: str) -> CafxError:
    return misplaced(path, Kinds.STATE, Kinds.HDF5) or CafxError(
        f"is not a complete solverstate: {reason}",
        where=str(path),
        found=sniff(head),
        remedy="resume from an older snapshot",
    )


def _text(value: str | bytes) -> str:
    """A text field, which protobuf gives as bytes if it is not UTF-8."""
    return value if isinstance(value, str) else value.decode("utf-8", "surrogateescape")


def _layer(data: memoryview, kind: wire.LayerFields) -> LayerWeights:
    name, type_name = "", ""
    blobs: list[BlobValues] = []
    for number, _, payload in wire.fields(data):
        if number == kind.inner and isinstance(payload, memoryview) and kind.inner_fields:
            inner = _layer(payload, kind.inner_fields)
            name, blobs = inner.name, inner.blobs + blobs
        elif number == kind.name and isinstance(payload, memoryview):
            name = bytes(payload).decode("utf-8", "replace")
        elif number == kind.type and isinstance(payload, memoryview):
            type_name = bytes(payload).decode("utf-8", "replace")
        elif number == kind.blobs and isinstance(payload, memoryview):
            blobs.append(read_blob(payload))
    return LayerWeights(name, blobs, type_name)


def _encode(number: int, blob: BlobValues) -> Iterable[bytes]:
    pieces = _blob_pieces(blob)
    yield wire.header(number, sum(map(len, pieces)))
    yield from pieces


def _blob_pieces(blob: BlobValues) -> list[bytes]:
    dims = b"".join(wire.varint(length) for length in blob.shape)
    shape = wire.header(1, len(dims)) + dims if blob.shape else b""
    pieces = [wire.header(SHAPE_FIELD, len(shape)), shape]
    for values, single, double in (
        (blob.data, DATA_FIELD, DOUBLE_DATA_FIELD),
        (blob.diff, DIFF_FIELD, DOUBLE_DIFF_FIELD),
    ):
        if values is not None:
            wide = values.dtype == np.float64
            payload = np.ascontiguousarray(values, "<f8" if wide else "<f4").tobytes()
            pieces += [wire.header(double if wide else single, len(payload)), payload]
    return pieces
