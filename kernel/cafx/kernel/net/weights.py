"""Parameters between nets, and between nets and files, matched by layer name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import attrs
import numpy as np

from cafx.kernel.blob import Blob, same_shape, shape_text
from cafx.kernel.errors import CafxError
from cafx.kernel.net.formats import ABSENT, DEFAULT_FORMAT, BlobValues, LayerWeights, format_named, read_weights
from cafx.kernel.net.layer import Layer
from cafx.kernel.registry import Registry


class Holder(Protocol):
    """A net, as far as its parameters are concerned."""

    name: str
    layers: list[Layer]
    plugins: Registry

    def weights(self, diff: bool = False) -> list[LayerWeights]:
        """Copies of every layer's parameters."""

    def to_proto(self) -> Any:
        """The net as a NetParameter."""


@attrs.frozen
class Copied:
    """What `copy` did.

    Attributes:
        filled: names of the layers that took values.
        untouched: names of the layers the source does not have.
        unused: names of the source's layers that the net does not have.
    """

    filled: list[str]
    untouched: list[str]
    unused: list[str]


def copy_from(source: str | Path | Holder, net: Holder) -> Copied:
    """Copy parameter values from a weights file or a net."""
    if isinstance(source, (str, Path)):
        return copy(read_weights(source, net.plugins), net.layers, str(source))
    return copy(source.weights(), net.layers, source.name)


def save(net: Holder, path: Path, diff: bool) -> None:
    """Write a net's parameters in the format of the path's suffix, by default as a caffemodel."""
    suffix = path.suffix
    names = {plugin.name for plugin, found in net.plugins.usable("format") if suffix and found.suffix == suffix}
    writer = format_named(min(names) if names else DEFAULT_FORMAT, net.plugins)
    writer.write_weights(path, net.to_proto(), net.weights(diff))


def copy(held: Sequence[LayerWeights], layers: Sequence[Layer], where: str) -> Copied:
    """Fill the layers whose names are in ``held``; if anything does not fit, nothing is copied."""
    mine: dict[str, list[Blob]] = {}
    for layer in layers:
        mine.setdefault(layer.name, layer.blobs)
    shared = _sharing(layers)
    used = [entry for entry in held if entry.name in mine and entry.blobs]
    used = [_without_shared(entry, mine[entry.name], shared) for entry in used]
    for entry in used:
        _check_fit(entry, mine[entry.name], where)
    for entry in used:
        for blob, values in zip(mine[entry.name], entry.blobs, strict=True):
            if values.data.size or not blob.count_:
                blob.set_data(values.data)
    names = {entry.name for entry in used}
    return Copied(
        sorted(names),
        [name for name, blobs in mine.items() if blobs and name not in names],
        [entry.name for entry in held if entry.blobs and entry.name not in names],
    )


def share(theirs: Sequence[Layer], layers: Sequence[Layer], where: str) -> None:
    """Let layers share the parameters of the layers of the same names among ``theirs``."""
    by_name = {layer.name: layer for layer in theirs}
    for layer in layers:
        other = by_name.get(layer.name)
        if other is not None and layer.blobs:
            shapes = [BlobValues(blob.shape, np.empty(0)) for blob in other.blobs]
            _check_fit(LayerWeights(layer.name, shapes), layer.blobs, where)
            for mine, blob in zip(layer.blobs, other.blobs, strict=True):
                mine.share_data(blob)


def weights_of(layer: Layer, diff: bool) -> LayerWeights:
    """Copies of a layer's parameters and, with ``diff``, their gradients."""
    blobs = [BlobValues(b.shape, b.host(), b.host_diff() if diff else None) for b in layer.blobs]
    return LayerWeights(layer.name, blobs, layer.type)


def _sharing(layers: Sequence[Layer]) -> set[Blob]:
    """The blobs that share the values of a blob in an earlier layer."""
    owned: set[object] = set()
    sharing = set()
    for blob in (blob for layer in layers for blob in layer.blobs):
        if blob.synced_data in owned:
            sharing.add(blob)
        owned.add(blob.synced_data)
    return sharing


def _without_shared(entry: LayerWeights, mine: Sequence[Blob], shared: set[Blob]) -> LayerWeights:
    """An entry of the layer's length, where the file omits blobs that an earlier layer has stored."""
    held: list[BlobValues | None] = [blob if blob.shape != ABSENT else None for blob in entry.blobs]
    held += [None] * (len(mine) - len(held))
    for position, blob in enumerate(mine):
        if held[position] is None and blob in shared:
            held[position] = BlobValues(blob.shape, np.empty(0))
    return attrs.evolve(entry, blobs=[values for values in held if values is not None])


def _check_fit(entry: LayerWeights, mine: Sequence[Blob], where: str) -> None:
    if len(entry.blobs) != len(mine):
        raise CafxError(
            f"layer '{entry.name}' has a different number of parameters",
            where=where,
            found=len(entry.blobs),
            expected=len(mine),
            remedy="rename the layer to initialise it from its filler",
        )
    for position, (blob, values) in enumerate(zip(mine, entry.blobs, strict=True)):
        fits = same_shape(blob.shape, values.shape) if values.legacy else blob.shape == values.shape
        if not fits:
            raise CafxError(
                f"shape mismatch at parameter {position} of layer '{entry.name}'",
                where=where,
                found=shape_text(values.shape),
                expected=shape_text(blob.shape),
                remedy="rename the layer to initialise it from its filler, or give it the shape in the file",
            )
