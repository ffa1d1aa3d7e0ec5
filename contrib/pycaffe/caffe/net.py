"""Net: pycaffe's interface to the kernel's net."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Mapping, Sequence
from itertools import zip_longest
from os import PathLike
from typing import Any

import numpy.typing as npt

from caffe import glog
from caffe.arguments import ArgumentError, assign, known_blobs, numbers, one_of, path, whole
from caffe.arguments import stages as named_stages
from caffe.batches import batches, joined
from caffe.blob import Blob, ledger
from caffe.callbacks import Callback, Direction, LayerCallbacks
from caffe.exceptions import own_exceptions
from caffe.modes import TEST, TRAIN, process
from caffe.nccl import NCCL
from caffe.vectors import BlobVec, LayerVec, LayerView
from cafx.kernel import CafxError
from cafx.kernel import Net as KernelNet
from cafx.kernel.net import format_named

Array = npt.NDArray[Any]


class Net:
    """A net, built from a prototxt file or a NetParameter message.

    Args:
        network_file: path of the prototxt, or the message.
        args: ``phase``, or ``weights, phase`` as in older scripts; then level, stages, weights.
        phase: TRAIN or TEST.
        weights: a caffemodel to copy parameters from, by layer name.
        level, stages: the rest of the state that include and exclude rules are matched against. The level
            replaces that of the net's ``state``, the stages are added to those of it.

    Raises:
        ArgumentError: no phase is given, or an argument is not what it should be; also a TypeError.
        Exception: whatever a layer written in Python raises.
        CafxError: the net or the weights are not valid.

    Attributes:
        blobs: the blobs by name, in order.
        params: the parameters of each layer that has any, by layer name.
        layers: the layers, in order; a layer written in Python is the object of its class.
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
            raise ArgumentError("Net() needs a phase", expected="caffe.TRAIN or caffe.TEST")
        one_of(phase, (TRAIN, TEST), "phase")
        if not hasattr(network_file, "SerializePartialToString"):
            network_file = str(path(network_file, "a prototxt"))
        level = whole(positional.get("level", level), "level")
        glog.enable()
        with own_exceptions():
            net = KernelNet(
                network_file,
                phase,
                seed=process.seed,
                level=level,
                stages=named_stages(positional.get("stages", stages)),
                trust=True,
                **process.engine_keywords(),
            )
        self._wrap(net)
        weights = positional.get("weights", weights)
        if weights is not None:
            self.copy_from(weights)

    @classmethod
    def over(cls, kernel_net: KernelNet) -> Net:
        """Wrap an existing net of the kernel, such as a solver's."""
        net = cls.__new__(cls)
        net._wrap(kernel_net)
        return net

    def accompany_solver(self) -> None:
        """Call the callbacks in passes of the net's solver, too."""
        self._callbacks.accompany_solver()

    def _wrap(self, kernel_net: KernelNet) -> None:
        self._net = kernel_net
        distinct = {id(blob): Blob(blob) for blob in kernel_net.blobs.values()}
        self.blobs: OrderedDict[str, Blob] = OrderedDict(
            (name, distinct[id(blob)]) for name, blob in kernel_net.blobs.items()
        )
        blobs = [BlobVec(map(Blob, layer.blobs)) for layer in kernel_net.layers]
        views = map(LayerView, kernel_net.layers, blobs)
        self.layers = LayerVec(
            getattr(layer, "user", view) for layer, view in zip(kernel_net.layers, views, strict=True)
        )
        self.params: OrderedDict[str, BlobVec] = OrderedDict(
            (name, each) for name, each in zip(self._layer_names, blobs, strict=True) if each
        )
        self._callbacks = LayerCallbacks(kernel_net)

    name = property(lambda self: self._net.name, doc="The net's name.")
    phase = property(lambda self: int(self._net.phase), doc="TRAIN or TEST.")
    inputs = property(lambda self: list(self._net.inputs), doc="Names of the input blobs.")
    outputs = property(lambda self: list(self._net.outputs), doc="Names of the output blobs.")
    _layer_names = property(lambda self: list(self._net.layer_names), doc="The layers' names, in order.")
    _blob_names = property(lambda self: list(self.blobs), doc="The blobs' names, in order.")
    _blobs = property(lambda self: list(self.blobs.values()), doc="The blobs, in order.")
    _inputs = property(lambda self: [self._blob_names.index(name) for name in self.inputs], doc="By index.")
    _outputs = property(lambda self: [self._blob_names.index(name) for name in self.outputs], doc="By index.")

    @property
    def layer_dict(self) -> OrderedDict[str, Any]:
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
        """The loss weight of each blob; 0 for blobs that are not losses."""
        loss_weights = self._net.loss_weights
        return OrderedDict((name, loss_weights.get(name, 0.0)) for name in self.blobs)

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
        """Run the forward pass.

        Args:
            blobs: names of further blobs to return.
            start, end: names of the first and last layer (default: all layers).
            kwargs: an array for each input; all inputs or none.

        Returns:
            The outputs (or the tops of ``end``) and ``blobs`` by name; later passes overwrite these arrays.

        Raises:
            CafxError: the arrays do not match the inputs in name or batch size.
        """
        self._check_names(kwargs, self.inputs, "input blob arguments do not match net inputs")
        known_blobs(blobs or (), self.blobs)
        for name, values in kwargs.items():
            assign(self.blobs[name].data, self._batch(values, name, "input is not batch sized"), f"blob '{name}'")
        self._run("forward", start, end)
        names = self.top_names[end] if end is not None else self.outputs
        return {name: self.blobs[name].data for name in {*names, *(blobs or ())}}

    def backward(
        self, diffs: Sequence[str] | None = None, start: str | None = None, end: str | None = None, **kwargs: Array
    ) -> dict[str, Array]:
        """Run the backward pass.

        Args:
            diffs: names of further blobs whose gradients to return.
            start, end: names of the first and last layer in the order of the pass (default: all layers).
            kwargs: a gradient for each output; all outputs or none.

        Returns:
            The gradients of the inputs (or of the bottoms of ``end``) and of ``diffs``, by name.

        Raises:
            CafxError: the arrays do not match the outputs in name or batch size.
        """
        self._check_names(kwargs, self.outputs, "top diff arguments do not match net outputs")
        known_blobs(diffs or (), self.blobs)
        for name, values in kwargs.items():
            assign(self.blobs[name].diff, self._batch(values, name, "diff is not batch sized"), f"blob '{name}'")
        self._run("backward", start, end)
        names = self.bottom_names[end] if end is not None else self.inputs
        return {name: self.blobs[name].diff for name in {*names, *(diffs or ())}}

    def _forward(self, start: int, end: int) -> float:
        self._run("forward", self._layer_names[start], self._layer_names[end])
        return self._net.loss

    def _backward(self, start: int, end: int) -> None:
        self._run("backward", self._layer_names[start], self._layer_names[end])

    def _run(self, direction: Direction, start: str | None, end: str | None) -> None:
        for name in (start, end):
            if name is not None:
                one_of(name, self._layer_names, "layer")
        ledger.before_pass()
        with own_exceptions():
            self._callbacks.run(direction, start, end)
        ledger.after_pass()

    def before_forward(self, callback: Callback) -> None:
        """Call ``callback(index)`` before the forward pass of each layer."""
        self._callbacks.add("before_forward", callback)

    def after_forward(self, callback: Callback) -> None:
        """Call ``callback(index)`` after the forward pass of each layer."""
        self._callbacks.add("after_forward", callback)

    def before_backward(self, callback: Callback) -> None:
        """Call ``callback(index)`` before the backward pass of each layer."""
        self._callbacks.add("before_backward", callback)

    def after_backward(self, callback: Callback | NCCL) -> None:
        """Call ``callback(index)`` after the backward pass of each layer; an `NCCL` sums gradients by itself."""
        self._callbacks.add("after_backward", callback)

    def forward_all(self, blobs: Sequence[str] | None = None, **kwargs: Array) -> dict[str, Array]:
        """Run the forward pass on any number of examples, batch by batch.

        Args:
            blobs: names of further blobs to return.
            kwargs: an array for each input.

        Returns:
            The outputs and ``blobs`` of all examples, by name.
        """
        results: dict[str, list[Array]] = {}
        kwargs = self._examples(kwargs, self.inputs)
        for batch in self._batches(kwargs):
            for name, values in self.forward(blobs, None, None, **batch).items():
                results.setdefault(name, []).extend(values.copy())
        return joined(results, len(next(iter(kwargs.values()))))

    def forward_backward_all(
        self, blobs: Sequence[str] | None = None, diffs: Sequence[str] | None = None, **kwargs: Array
    ) -> tuple[dict[str, Array], dict[str, Array]]:
        """Run the forward and backward passes on any number of examples, batch by batch.

        Args:
            blobs: names of further blobs to return.
            diffs: names of further blobs whose gradients to return.
            kwargs: an array for each input, and a gradient for each output.

        Returns:
            The results of `forward` and those of `backward` for all examples.
        """
        outs: dict[str, list[Array]] = {}
        grads: dict[str, list[Array]] = {}
        kwargs = self._examples(kwargs, [*self.inputs, *self.outputs])
        inputs = {name: kwargs[name] for name in self.inputs if name in kwargs}
        tops = {name: kwargs[name] for name in self.outputs if name in kwargs}
        for batch, gradients in zip_longest(self._batches(inputs), self._batches(tops)):
            for name, values in self.forward(blobs, None, None, **(batch or {})).items():
                outs.setdefault(name, []).extend(values.copy())
            for name, values in self.backward(diffs, None, None, **(gradients or {})).items():
                grads.setdefault(name, []).extend(values.copy())
        count = len(next(iter({**tops, **inputs}.values())))
        return joined(outs, count), joined(grads, count)

    def _examples(self, arrays: Mapping[str, Any], names: Sequence[str]) -> dict[str, Array]:
        """The arrays of a call on any number of examples, which have to be of these names and equally long."""
        checked = {one_of(name, names, "blob"): numbers(values, f"'{name}'") for name, values in arrays.items()}
        rows = {array.shape[:1] for array in checked.values()}
        if len(rows) != 1 or rows == {()}:
            found = {name: array.shape for name, array in checked.items()} or "none"
            raise ArgumentError("needs arrays of equally many examples", where=f"net '{self.name}'", found=found)
        return checked

    def _batches(self, arrays: Mapping[str, Array]) -> Iterator[dict[str, Array]]:
        return batches(arrays, self.blobs[next(iter(arrays))].shape[0] if arrays else 0)

    def reshape(self) -> None:
        """Propagate changed input shapes through the net."""
        with own_exceptions():
            self._net.reshape()

    def clear_param_diffs(self) -> None:
        """Set all parameter gradients to zero."""
        self._net.clear_param_diffs()
        ledger.after_pass()

    def copy_from(self, source: Any) -> None:
        """Copy parameters from a weights file or another net, by layer name."""
        copied = self._net.copy_from(source._net if isinstance(source, Net) else path(source, "a weights file"))
        glog.report_copied(copied)
        ledger.after_pass()

    def share_with(self, other: Net) -> None:
        """Share the parameters of another net, by layer name."""
        if not isinstance(other, Net):
            raise ArgumentError("share_with needs a net", found=type(other).__name__, expected="caffe.Net")
        self._net.share_with(other._net)

    def save(self, filename: str | PathLike[str]) -> None:
        """Save the parameters as a caffemodel."""
        self._write("BINARYPROTO", filename)

    def save_hdf5(self, filename: str | PathLike[str], write_diff: bool = False) -> None:
        """Save the parameters, and their gradients with ``write_diff``, as HDF5."""
        self._write("HDF5", filename, write_diff)

    def load_hdf5(self, filename: str | PathLike[str]) -> None:
        """Copy parameters from an HDF5 file, by layer name."""
        self.copy_from(filename)

    def _write(self, kind: str, filename: str | PathLike[str], diff: bool = False) -> None:
        target = path(filename, "a file to write")
        ledger.before_pass()
        net = self._net
        format_named(kind, net.plugins).write_weights(target, net.to_proto(), net.weights(diff))

    def set_input_arrays(self, data: Array, labels: Array) -> None:
        """Set the arrays that the net's first layer, a MemoryData layer, reads.

        Args:
            data: examples of shape M×C×H×W, where M is a multiple of the batch size; not copied.
            labels: M labels.

        Raises:
            CafxError: the first layer is not a MemoryData layer, or the arrays do not match it.
        """
        layer = self._net.layers[0]
        reset = getattr(layer, "reset", None)
        if reset is None:
            raise CafxError(
                "set_input_arrays requires a net whose first layer is a MemoryData layer",
                where=layer.where,
                found=layer.type,
                expected="MemoryData",
            )
        reset(numbers(data, "data"), numbers(labels, "labels").reshape(-1))

    def _names(self, blobs: Sequence[Sequence[Any]]) -> OrderedDict[str, list[str]]:
        names = ([blob.name for blob in each] for each in blobs)
        return OrderedDict(zip(self._layer_names, names, strict=True))

    def _check_names(self, arrays: Mapping[str, Any], names: Sequence[str], message: str) -> None:
        if arrays and set(arrays) != set(names):
            raise CafxError(message, where=f"net '{self.name}'", found=sorted(arrays), expected=sorted(names))

    def _batch(self, values: Any, name: str, message: str) -> Array:
        """The values for a blob as an array, which has as many rows as the blob."""
        array = numbers(values, f"blob '{name}'")
        if array.shape[:1] != self.blobs[name].shape[:1]:
            raise ArgumentError(
                message,
                where=f"blob '{name}'",
                found=array.shape,
                expected=self.blobs[name].shape,
                remedy=f"call net.blobs['{name}'].reshape(…) first",
            )
        return array
