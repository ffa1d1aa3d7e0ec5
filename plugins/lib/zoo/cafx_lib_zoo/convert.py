"""Weights from one format to another, bit for bit: caffemodel, HDF5, safetensors and those of other plugins.

A file of weights has names and values, and little of the net. What a format lacks comes from the net that the
weights belong to: which parameters are shared, the order of layers (HDF5 sorts them), and the shapes of old files,
which state four numbers for everything.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from cafx.kernel import CafxError, Format, Net, registry, schema
from cafx.kernel.blob import shape_text
from cafx.kernel.files import shown
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, format_named, format_of, read_weights
from cafx_format_binaryproto import BinaryProto, wire
from cafx_format_binaryproto.files import map_file
from cafx_format_safetensors import Safetensors
from cafx_lib_zoo.fitting import fill

LAYER, LAYER_NAME, PARAM, PARAM_NAME = 100, 1, 6, 1
"""Fields of NetParameter, LayerParameter and ParamSpec."""
OLD_LAYER, OLD_LAYER_NAME, OLD_PARAM = 2, 4, 1001
"""The same in Caffe's V1 format, where a parameter's name is a text."""
TO_NAME_A_NET = "name the net that they belong to with --net"
DEFAULT = "BINARYPROTO"
Names = Mapping[str, Sequence[str]]
"""By layer, the name of each parameter, "" for none; parameters with one name are shared."""


@attrs.frozen
class Converted:
    """What was converted.

    Attributes:
        layers, blobs, values: how many there are, shared ones counted once.
        shared: blobs that are shared with an earlier layer.
        left_out: layers of the file that the net does not have.
    """

    layers: int
    blobs: int
    values: int
    shared: int
    left_out: list[str]


def convert(source: str | Path, target: str | Path, net: Net | None = None) -> Converted:
    """Write the weights of a file in the format that another file's suffix names.

    Args:
        source: a file of any installed format.
        target: the file to write; ``.h5`` for HDF5, ``.safetensors``, anything else for a caffemodel.
        net: the net that the weights belong to; needed if the source leaves open what the target states.

    Raises:
        CafxError: the source cannot be read, the target not written, the net does not fit, or it is needed.
    """
    source, target = Path(source), Path(target)
    if source.exists() and target.exists() and source.samefile(target):
        raise CafxError("source and target are the same file", where=shown(target), remedy="choose another name")
    left_out: list[str] = []
    layers = read_weights(source, registry())
    if net is None:
        message = _message(layers, _stated_names(source) or _names_by_memory(layers))
    else:
        layers, left_out = _fitted(layers, net, source)
        message = net.to_proto()
    layers, shared = _shared(layers, message, source)
    writer = _writer(target)
    writer.write_weights(target, message, [_writable(layer, writer, source) for layer in layers])
    blobs = [blob for layer in layers for blob in layer.blobs]
    values = sum(blob.data.size for blob in {id(blob.data): blob for blob in blobs}.values())
    return Converted(len(layers), len(blobs) - shared, values, shared, left_out)


def _writer(path: Path) -> Format:
    names = [plugin.name for plugin, each in registry().usable("format") if path.suffix and each.suffix == path.suffix]
    return format_named(min(names, default=DEFAULT), registry())


def _stated_names(path: Path) -> Names | None:
    """The names in a caffemodel; None for a file of another format."""
    if not isinstance(format_of(path, registry()), BinaryProto):
        return None
    names: dict[str, list[str]] = {}
    for number, layer in wire.messages(map_file(path), (LAYER, OLD_LAYER)):
        fields = [(field, payload) for field, _, payload in wire.fields(layer) if isinstance(payload, memoryview)]
        if number == LAYER:
            name, params = LAYER_NAME, [_first(payload, PARAM_NAME) for field, payload in fields if field == PARAM]
        else:
            name, params = OLD_LAYER_NAME, [_text(payload) for field, payload in fields if field == OLD_PARAM]
        names[next((_text(payload) for field, payload in fields if field == name), "")] = params
    return names


def _first(message: memoryview, number: int) -> str:
    return next((_text(payload) for field, _, payload in wire.fields(message) if field == number), "")


def _text(payload: Any) -> str:
    return bytes(payload).decode("utf-8", "replace") if isinstance(payload, memoryview) else ""


def _names_by_memory(layers: Sequence[LayerWeights]) -> Names:
    """Names for blobs to which a reader gave the same array."""
    owners: dict[int, str] = {}
    return {
        layer.name: [owners.setdefault(id(blob.data), f"{layer.name}.{i}") for i, blob in enumerate(layer.blobs)]
        for layer in layers
    }


def _message(layers: Sequence[LayerWeights], names: Names) -> Any:
    """A NetParameter that has what a file says of a net."""
    message = schema()["NetParameter"]()
    for layer in layers:
        params = names.get(layer.name, ())
        proto = message.layer.add(name=layer.name, type=layer.type)
        if any(params):
            for name in params:
                proto.param.add(**({"name": name} if name else {}))
    return message


def _fitted(layers: Sequence[LayerWeights], net: Net, source: Path) -> tuple[list[LayerWeights], list[str]]:
    """The layers of a net in its order, with the blobs of a file in the net's shapes; and the file's other layers."""
    unused = fill(net, source)
    entries = {layer.name: layer.blobs for layer in layers}
    fitted = []
    for proto in net.to_proto().layer:
        mine = net.params.get(proto.name, ())
        stored = [*entries.get(proto.name, ()), *([BlobValues(ABSENT, np.empty(0))] * len(mine))][: len(mine)]
        blobs = [
            each if each.shape == ABSENT else attrs.evolve(each, shape=tuple(blob.shape), legacy=False)
            for blob, each in zip(mine, stored, strict=True)
        ]
        fitted.append(LayerWeights(proto.name, blobs, proto.type))
    return fitted, unused


def _shared(layers: Sequence[LayerWeights], message: Any, source: Path) -> tuple[list[LayerWeights], int]:
    """The layers with absent blobs filled in from the layers that own them; and how many blobs are shared."""
    owners: dict[str, BlobValues] = {}
    count = 0

    def filled(layer: LayerWeights, proto: Any) -> Iterator[BlobValues]:
        nonlocal count
        for index, blob in enumerate(layer.blobs):
            name = proto.param[index].name if index < len(proto.param) else ""
            owner = owners.get(name)
            if owner is not None and (blob.shape == ABSENT or _is_same(owner, blob)):
                count += 1
                yield owner
            elif blob.shape == ABSENT:
                message = f"'{layer.name}' shares a parameter, and the file does not say with which layer"
                raise CafxError(message, where=shown(source), remedy=TO_NAME_A_NET)
            elif owner is not None:
                proto.param[index].ClearField("name")
                yield blob
            else:
                owners.update({name: blob} if name else {})
                yield blob

    pairs = zip(layers, message.layer, strict=True)
    return [attrs.evolve(layer, blobs=list(filled(layer, proto))) for layer, proto in pairs], count


def _is_same(one: BlobValues, other: BlobValues) -> bool:
    """Whether two blobs are equal, bit for bit."""
    same = (one.shape, one.data.dtype, one.diff is None) == (other.shape, other.data.dtype, other.diff is None)
    pairs = [(one.data, other.data)] + ([(one.diff, other.diff)] if one.diff is not None else [])
    return same and all(np.array_equal(_bytes(left), _bytes(right)) for left, right in pairs)


def _bytes(values: Any) -> Any:
    return np.ascontiguousarray(values).view(np.uint8)


def _writable(layer: LayerWeights, writer: Format, source: Path) -> LayerWeights:
    """A layer as a format can state it: only safetensors has half precision, and shapes of the old rules."""
    if isinstance(writer, Safetensors):
        return layer
    for index, blob in enumerate(layer.blobs):
        if blob.legacy and blob.shape[:1] == (1,):
            found = f"{shape_text(blob.shape)} for parameter {index} of layer '{layer.name}'"
            message = "states shapes by Caffe's old rules, of which the number of axes is not known"
            raise CafxError(message, where=shown(source), found=found, remedy=TO_NAME_A_NET)
    return attrs.evolve(layer, blobs=[_plain(blob) for blob in layer.blobs])


def _plain(blob: BlobValues) -> BlobValues:
    if blob.data.dtype != np.float16:
        return attrs.evolve(blob, legacy=False)
    diff = None if blob.diff is None else blob.diff.astype(np.float32)
    return attrs.evolve(blob, data=blob.data.astype(np.float32), diff=diff, legacy=False)
