"""Parameters from net to net and from file to net, matched by the layers' names."""

from __future__ import annotations

from collections.abc import Sequence

import attrs
import numpy as np

from cafx.kernel.blob import Blob, same_shape, shape_text
from cafx.kernel.errors import CafxError
from cafx.kernel.net.formats import ABSENT, BlobValues, LayerWeights
from cafx.kernel.net.layer import Layer


@attrs.frozen
class Copied:
    """What `copy` did: names of layers filled, left as they were, and not used."""

    filled: list[str]
    untouched: list[str]
    unused: list[str]


def copy(held: Sequence[LayerWeights], layers: Sequence[Layer], where: str) -> Copied:
    """Fill the layers whose names are in ``held``; all of it fits, or nothing is copied."""
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
    """Let the layers hold the very parameters of those of their names among ``theirs``."""
    by_name = {layer.name: layer for layer in theirs}
    for layer in layers:
        other = by_name.get(layer.name)
        if other is not None and layer.blobs:
            shapes = [BlobValues(blob.shape, np.empty(0)) for blob in other.blobs]
            _check_fit(LayerWeights(layer.name, shapes), layer.blobs, where)
            for mine, blob in zip(layer.blobs, other.blobs, strict=True):
                mine.share_data(blob)


def weights_of(layer: Layer, diff: bool) -> LayerWeights:
    """Copies of a layer's parameters and, if wanted, their gradients."""
    blobs = [BlobValues(b.shape, b.host(), b.host_diff() if diff else None) for b in layer.blobs]
    return LayerWeights(layer.name, blobs, layer.type)


def _sharing(layers: Sequence[Layer]) -> set[Blob]:
    """The blobs that hold the values of one in an earlier layer."""
    owned: set[object] = set()
    sharing = set()
    for blob in (blob for layer in layers for blob in layer.blobs):
        if blob.synced_data in owned:
            sharing.add(blob)
        owned.add(blob.synced_data)
    return sharing


def _without_shared(entry: LayerWeights, mine: Sequence[Blob], shared: set[Blob]) -> LayerWeights:
    """An entry as long as the layer, where the file leaves out what an earlier layer has stored."""
    held: list[BlobValues | None] = [blob if blob.shape != ABSENT else None for blob in entry.blobs]
    held += [None] * (len(mine) - len(held))
    for position, blob in enumerate(mine):
        if held[position] is None and blob in shared:
            held[position] = BlobValues(blob.shape, np.empty(0))
    return attrs.evolve(entry, blobs=[values for values in held if values is not None])


def _check_fit(entry: LayerWeights, mine: Sequence[Blob], where: str) -> None:
    if len(entry.blobs) != len(mine):
        raise CafxError(
            f"layer '{entry.name}' has another number of parameters",
            where=where,
            found=len(entry.blobs),
            expected=len(mine),
            remedy="rename the layer to train it anew",
        )
    for position, (blob, values) in enumerate(zip(mine, entry.blobs, strict=True)):
        fits = same_shape(blob.shape, values.shape) if values.legacy else blob.shape == values.shape
        if not fits:
            raise CafxError(
                f"parameter {position} of layer '{entry.name}' has another shape",
                where=where,
                found=shape_text(values.shape),
                expected=shape_text(blob.shape),
                remedy="rename the layer to train it anew, or give it the shape of the file",
            )
