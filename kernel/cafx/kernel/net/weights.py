"""Copying and sharing of parameters between nets, and between nets and files; layers are matched by name."""

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
    """The part of a net that concerns its parameters.

    Attributes:
        name: name of the net.
        layers: its layers, in order.
        plugins: where weights formats are found.
    """

    name: str
    layers: list[Layer]
    plugins: Registry

    def weights(self, diff: bool = False) -> list[LayerWeights]:
        """Copies of all parameters.

        Args:
            diff: also copy the gradients.
        """

    def to_proto(self) -> Any:
        """The NetParameter of the net."""


@attrs.frozen
class Copied:
    """The result of copying parameters.

    Attributes:
        filled: names of the layers that received values.
        untouched: names of the layers missing from the source.
        unused: names of the source's layers missing from the net.
    """

    filled: list[str]
    untouched: list[str]
    unused: list[str]


def copy_from(source: str | Path | Holder, net: Holder) -> Copied:
    """Copy parameters from a weights file or a net.

    Args:
        source: path of a weights file in any installed format, or a net.
        net: the net to copy to.

    Raises:
        CafxError: the file cannot be read, or a layer of the same name has parameters of other number or
            shapes; then nothing is copied.

    Example:
        >>> from cafx.kernel import Net, schema
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
        ... layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 3 } }'''
        >>> one, two = [Net(schema().parse_text(text, "NetParameter"), engine="numpy") for _ in range(2)]
        >>> one.params["ip"][1].set_data([1, 2, 3])
        >>> copy_from(one, two)
        Copied(filled=['ip'], untouched=[], unused=[])
        >>> two.params["ip"][1].data.tolist()
        [1.0, 2.0, 3.0]
    """
    if isinstance(source, (str, Path)):
        return copy(read_weights(source, net.plugins), net.layers, str(source))
    if not hasattr(source, "weights"):
        found = type(source).__name__
        raise CafxError("weights are copied from a file or a net", found=found, expected="a path, or a Net")
    return copy(source.weights(), net.layers, source.name)


def save(net: Holder, path: Path, diff: bool) -> None:
    """Save a net's parameters.

    Args:
        net: the net.
        path: the file; its suffix selects the format, by default Caffe's binary format.
        diff: also save gradients.

    Raises:
        CafxError: the file cannot be written.
    """
    suffix = path.suffix
    formats = net.plugins.usable("format")
    names = {plugin.name for plugin, each in formats if suffix and each.suffix == suffix}
    writer = format_named(min(names) if names else DEFAULT_FORMAT, net.plugins)
    writer.write_weights(path, net.to_proto(), net.weights(diff))


def copy(entries: Sequence[LayerWeights], layers: Sequence[Layer], where: str) -> Copied:
    """Copy parameters to the layers of the same names.

    Args:
        entries: the parameters, by layer.
        layers: the layers to copy to.
        where: name of the source, for errors.

    Raises:
        CafxError: parameters of a layer differ in number or shape; then nothing is copied.
    """
    mine: dict[str, list[Blob]] = {}
    for layer in layers:
        mine.setdefault(layer.name, layer.blobs)
    shared = _sharing(layers)
    used = [entry for entry in entries if entry.name in mine and entry.blobs]
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
        [entry.name for entry in entries if entry.blobs and entry.name not in names],
    )


def share(theirs: Sequence[Layer], layers: Sequence[Layer], where: str) -> None:
    """Make layers use the same memory for their parameters as the layers of the same names.

    Args:
        theirs: the layers that own the parameters.
        layers: the layers that share them.
        where: name of the owning net, for errors.

    Raises:
        CafxError: parameters of a layer differ in number or shape.

    Example:
        >>> from cafx.kernel import schema
        >>> train, test = [Layer(schema()["LayerParameter"](name="ip")) for _ in range(2)]
        >>> for layer in (train, test):
        ...     layer.blobs.append(Blob((2,)))
        >>> share([train], [test], "train net")
        >>> train.blobs[0].set_data([1, 2])
        >>> test.blobs[0].data.tolist()
        [1.0, 2.0]
    """
    by_name = {layer.name: layer for layer in theirs}
    for layer in layers:
        other = by_name.get(layer.name)
        if other is not None and layer.blobs:
            shapes = [BlobValues(blob.shape, np.empty(0)) for blob in other.blobs]
            _check_fit(LayerWeights(layer.name, shapes), layer.blobs, where)
            for mine, blob in zip(layer.blobs, other.blobs, strict=True):
                mine.share_data(blob)


def weights_of(layer: Layer, diff: bool) -> LayerWeights:
    """Copies of a layer's parameters.

    Args:
        layer: the layer.
        diff: also copy the gradients.
    """
    blobs = [BlobValues(b.shape, b.host(), b.host_diff() if diff else None) for b in layer.blobs]
    return LayerWeights(layer.name, blobs, layer.type)


def _sharing(layers: Sequence[Layer]) -> set[Blob]:
    """The parameters that share their data with a parameter of an earlier layer."""
    owned: set[object] = set()
    sharing = set()
    for blob in (blob for layer in layers for blob in layer.blobs):
        if blob.synced_data in owned:
            sharing.add(blob)
        owned.add(blob.synced_data)
    return sharing


def _without_shared(entry: LayerWeights, mine: Sequence[Blob], shared: set[Blob]) -> LayerWeights:
    """Add shape-only values for shared parameters, which the file may store with an earlier layer only."""
    stored: list[BlobValues | None] = [blob if blob.shape != ABSENT else None for blob in entry.blobs]
    stored += [None] * (len(mine) - len(stored))
    for position, blob in enumerate(mine):
        if stored[position] is None and blob in shared:
            stored[position] = BlobValues(blob.shape, np.empty(0))
    return attrs.evolve(entry, blobs=[values for values in stored if values is not None])


def _check_fit(entry: LayerWeights, mine: Sequence[Blob], where: str) -> None:
    if len(entry.blobs) != len(mine):
        raise CafxError(
            f"wrong number of parameters in layer '{entry.name}'",
            where=where,
            found=len(entry.blobs),
            expected=len(mine),
            remedy="rename the layer to initialise it from its filler",
        )
    for position, (blob, values) in enumerate(zip(mine, entry.blobs, strict=True)):
        matches = same_shape(blob.shape, values.shape) if values.legacy else blob.shape == values.shape
        if not matches:
            raise CafxError(
                f"shape mismatch at parameter {position} of layer '{entry.name}'",
                where=where,
                found=shape_text(values.shape),
                expected=shape_text(blob.shape),
                remedy="rename the layer to initialise it from its filler, or give its parameter the shape in the file",
            )
