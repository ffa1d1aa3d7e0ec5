"""Net: pycaffe's net over the kernel's."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import zip_longest
from os import PathLike
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from caffe.batches import batches, joined
from caffe.blob import Blob, ledger
from caffe.modes import process
from cafx.kernel import CafxError, Layer
from cafx.kernel import Net as KernelNet
from cafx.kernel.net import format_named

Array = npt.NDArray[Any]
Callback = Callable[[int], Any]


class LayerView:
    """One layer of a net: its type and its parameter blobs."""

    def __init__(self, layer: Layer, blobs: list[Blob]) -> None:
        self._layer = layer
        self.type = layer.type
        self.blobs = blobs

    def __repr__(self) -> str:
        return f"<layer '{self._layer.name}' ({self.type})>"


class Net:
    """A net, made from a prototxt file (or a NetParameter message).

    Args:
        network_file: the prototxt.
        args: ``phase``, or ``weights, phase`` as in older scripts; then level, stages, weights.
        phase: TRAIN or TEST.
        weights: a caffemodel to copy parameters from, by layer name.
        level, stages: the rest of the state include and exclude rules are held against.
    """

    def __init__(
        self,
        network_file: Any,
        *args: Any,
        phase: int | None = None,
        weights: str | PathLike[str] | None = None,
        level: int = 0,
        stages: Sequence[str] | None = None,
    ) -> None:
        if args and (args[0] is None or isinstance(args[0], (str, PathLike))):
            weights, args = args[0], args[1:]
        positional = dict(zip(("phase", "level", "stages", "weights"), args, strict=False))
        phase = positional.get("phase", phase)
        if phase is None:
            raise TypeError("Net() needs a phase: caffe.TRAIN or caffe.TEST")
        self._wrap(
            KernelNet(
                str(network_file) if isinstance(network_file, PathLike) else network_file,
                phase,
                weights=positional.get("weights", weights),
                engine=process.engine,
                seed=process.seed,
                level=positional.get("level", level),
                stages=positional.get("stages", stages) or (),
            )
        )

    @classmethod
    def over(cls, kernel_net: KernelNet) -> Net:
        """The view of a net that is there already, such as a solver's."""
        net = cls.__new__(cls)
        net._wrap(kernel_net)
        return net

    def _wrap(self, kernel_net: KernelNet) -> None:
        self._net = kernel_net
        views = {id(blob): Blob(blob) for blob in kernel_net.blobs.values()}
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (name, views[id(blob)]) for name, blob in kernel_net.blobs.items()
        )
        self.layers = [LayerView(layer, [Blob(blob) for blob in layer.blobs]) for layer in kernel_net.layers]
        self.params: OrderedDict[str, list[Blob]] = OrderedDict(
            (name, view.blobs) for name, view in zip(self._layer_names, self.layers, strict=True) if view.blobs
        )
        self._callbacks: dict[str, list[Callback]] = {}

    name = property(lambda self: self._net.name, doc="The net's name.")
    phase = property(lambda self: int(self._net.phase), doc="TRAIN or TEST.")
    inputs = property(lambda self: list(self._net.inputs), doc="Names of the blobs fed from outside.")
    outputs = property(lambda self: list(self._net.outputs), doc="Names of the blobs nobody reads.")
    _layer_names = property(lambda self: list(self._net.layer_names), doc="The layers' names, in order.")
    _blob_names = property(lambda self: list(self.blobs), doc="The blobs' names, in order.")
    _blobs = property(lambda self: list(self.blobs.values()), doc="The blobs, in order.")
    _inputs = property(lambda self: [self._blob_names.index(name) for name in self.inputs], doc="By index.")
    _outputs = property(lambda self: [self._blob_names.index(name) for name in self.outputs], doc="By index.")

    @property
    def layer_dict(self) -> OrderedDict[str, LayerView]:
        """The layers by name."""
        return OrderedDict(zip(self._layer_names, self.layers, strict=True))

    @property
    def bottom_names(self) -> OrderedDict[str, list[str]]:
        """The names of each layer's bottoms."""
        return self._names(self._net.bottoms)

    @property
    def top_names(self) -> OrderedDict[str, list[str]]:
        """The names of each layer's tops."""
        return self._names(self._net.tops)

    @property
    def blob_loss_weights(self) -> OrderedDict[str, float]:
        """What each blob counts in the objective."""
        weights = OrderedDict.fromkeys(self.blobs, 0.0)
        for tops, weighed in zip(self._net.tops, self._net.top_loss_weights, strict=True):
            weights.update({top.name: weight for top, weight in zip(tops, weighed, strict=False) if weight})
        return weights

    @property
    def _blob_loss_weights(self) -> list[float]:
        return list(self.blob_loss_weights.values())

    def _bottom_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self._net.bottoms[layer]]

    def _top_ids(self, layer: int) -> list[int]:
        return [self._blob_names.index(blob.name) for blob in self._net.tops[layer]]

    def forward(
        self, blobs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run forward, from layer ``start`` to layer ``end`` if named.

        Args:
            blobs: names of blobs to return beside the outputs.
            kwargs: an array for every input, of its batch size.

        Returns:
            The outputs (the tops of ``end``) and ``blobs``, as arrays that later passes write anew.
        """
        self._check_given(kwargs, self.inputs, "Input blob arguments do not match net inputs.")
        for name, values in kwargs.items():
            self._check_batch(values, name, "Input is not batch sized")
            self.blobs[name].data[...] = values
        self._run("forward", start, end)
        wanted = self.top_names[end] if end is not None else self.outputs
        return {name: self.blobs[name].data for name in {*wanted, *(blobs or ())}}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run backward, from layer ``start`` down to layer ``end`` if named.

        Args:
            diffs: names of blobs whose gradient to return beside the inputs'.
            kwargs: a gradient for every output, of its batch size.

        Returns:
            The gradients of the inputs (the bottoms of ``end``) and of ``diffs``.
        """
        self._check_given(kwargs, self.outputs, "Top diff arguments do not match net outputs.")
        for name, values in kwargs.items():
            self._check_batch(values, name, "Diff is not batch sized")
            self.blobs[name].diff[...] = values
        self._run("backward", start, end)
        wanted = self.bottom_names[end] if end is not None else self.inputs
        return {name: self.blobs[name].diff for name in {*wanted, *(diffs or ())}}

    def _forward(self, start: int, end: int) -> float:
        self._run("forward", self._layer_names[start], self._layer_names[end])
        return self._net.loss

    def _backward(self, start: int, end: int) -> None:
        self._run("backward", self._layer_names[start], self._layer_names[end])

    def _run(self, direction: str, start: str | None, end: str | None) -> None:
        run = self._net.run_forward if direction == "forward" else self._net.run_backward
        before, after = (self._callbacks.get(f"{when}_{direction}", []) for when in ("before", "after"))
        ledger.before_pass()
        if not before and not after:
            run(start, end)
        else:
            self._run_watched(direction, start, end, before, after)
        ledger.after_pass()

    def _run_watched(
        self, direction: str, start: str | None, end: str | None, before: list[Callback], after: list[Callback]
    ) -> None:
        """Layer by layer, with the callbacks in between."""
        names, forth = self._layer_names, direction == "forward"
        first, last = (0, len(names) - 1) if forth else (len(names) - 1, 0)
        first = first if start is None else names.index(start)
        last = last if end is None else names.index(end)
        loss = 0.0
        for index in range(first, last + 1) if forth else range(first, last - 1, -1):
            for callback in before:
                callback(index)
            (self._net.run_forward if forth else self._net.run_backward)(names[index], names[index])
            loss += self._net.loss if forth else 0.0
            for callback in after:
                callback(index)
        if forth:
            self._net.loss = loss

    def before_forward(self, callback: Callback) -> None:
        """Call ``callback(index)`` before each layer's forward."""
        self._callbacks.setdefault("before_forward", []).append(callback)

    def after_forward(self, callback: Callback) -> None:
        """Call ``callback(index)`` after each layer's forward."""
        self._callbacks.setdefault("after_forward", []).append(callback)

    def before_backward(self, callback: Callback) -> None:
        """Call ``callback(index)`` before each layer's backward."""
        self._callbacks.setdefault("before_backward", []).append(callback)

    def after_backward(self, callback: Callback) -> None:
        """Call ``callback(index)`` after each layer's backward."""
        self._callbacks.setdefault("after_backward", []).append(callback)

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run forward over as many examples as given, batch by batch."""
        found: dict[str, list[Array]] = {}
        for batch in self._batches(kwargs):
            for name, values in self.forward(blobs, None, None, **batch).items():
                found.setdefault(name, []).extend(values.copy())
        return joined(found, len(next(iter(kwargs.values()))))

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """The same and back: keyword arrays are inputs and, for outputs, gradients."""
        outs: dict[str, list[Array]] = {}
        grads: dict[str, list[Array]] = {}
        inputs = {name: kwargs[name] for name in self.inputs if name in kwargs}
        tops = {name: kwargs[name] for name in self.outputs if name in kwargs}
        for batch, gradients in zip_longest(self._batches(inputs), self._batches(tops)):
            for name, values in self.forward(blobs, None, None, **(batch or {})).items():
                outs.setdefault(name, []).extend(values.copy())
            for name, values in self.backward(diffs, None, None, **(gradients or {})).items():
                grads.setdefault(name, []).extend(values.copy())
        count = len(next(iter({**tops, **inputs}.values())))
        return joined(outs, count), joined(grads, count)

    def _batches(self, arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        return batches(arrays, self.blobs[next(iter(arrays))].shape[0] if arrays else 0)

    def reshape(self) -> None:
        """Carry changed input shapes through the net."""
        self._net.reshape()

    def clear_param_diffs(self) -> None:
        """Set the gradients of all parameters to zero."""
        self._net.clear_param_diffs()
        ledger.after_pass()

    def copy_from(self, source: Any) -> None:
        """Take parameter values from a weights file, or a net, by layer name."""
        self._net.copy_from(source._net if isinstance(source, Net) else source)
        ledger.after_pass()

    def share_with(self, other: Net) -> None:
        """Use the very parameters of another net's layers of the same names."""
        self._net.share_with(other._net)

    def save(self, path: str | PathLike[str]) -> None:
        """Write the parameters as a caffemodel."""
        self._write("BINARYPROTO", path)

    def save_hdf5(self, path: str | PathLike[str], write_diff: bool = False) -> None:
        """Write the parameters (and their gradients) as HDF5."""
        self._write("HDF5", path, write_diff)

    def load_hdf5(self, path: str | PathLike[str]) -> None:
        """Take parameter values from an HDF5 file."""
        self.copy_from(path)

    def _write(self, kind: str, path: str | PathLike[str], diff: bool = False) -> None:
        ledger.before_pass()
        net = self._net
        format_named(kind, net.plugins).write_weights(Path(path), net.to_proto(), net.weights(diff))

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """What a MemoryData layer, the net's first, reads: examples and a label for each."""
        layer = self._net.layers[0]
        reset = getattr(layer, "reset", None)
        if reset is None:
            raise CafxError(
                "set_input_arrays needs a net that begins with a MemoryData layer",
                where=layer.where,
                found=layer.type,
                expected="MemoryData",
            )
        reset(data, np.asarray(labels).reshape(-1))

    def _names(self, blobs: Sequence[Sequence[Any]]) -> OrderedDict[str, list[str]]:
        names = ([blob.name for blob in each] for each in blobs)
        return OrderedDict(zip(self._layer_names, names, strict=True))

    def _check_given(self, given: Mapping[str, Any], wanted: Sequence[str], message: str) -> None:
        if given and set(given) != set(wanted):
            raise CafxError(message, where=f"net '{self.name}'", found=sorted(given), expected=sorted(wanted))

    def _check_batch(self, values: Array, name: str, message: str) -> None:
        if np.shape(values)[:1] != self.blobs[name].shape[:1]:
            raise CafxError(
                message,
                where=f"blob '{name}'",
                found=np.shape(values),
                expected=self.blobs[name].shape,
                remedy=f"net.blobs['{name}'].reshape(…) first",
            )
