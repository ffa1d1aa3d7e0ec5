"""Exporter: what the converter of one layer exports with."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from cafx.kernel import Layer, Net
from cafx_lib_onnx.errors import NoOnnxForm
from cafx_lib_onnx.graph import GraphBuilder, Shape

COPY, INFER = 0, -1


class NeedsFixedAxis(NoOnnxForm):
    """A layer whose nodes depend on the length of an axis that was to stay open.

    Attributes:
        axis: index of the axis.
    """

    axis: int = 0


class Exporter:
    """The graph under construction, as the converter of one layer sees it.

    Args:
        net: the net that is exported.
        layer: the layer.
        graph: the graph.
        bottoms, tops: names of the values of its bottoms and tops.
        parameters: names of the initializers of parameters met so far, by array; of transposed ones by its negative.
        settings: the user's choices, such as ``detection``.
        values: the present value of each blob of the net.

    Attributes:
        net, layer, graph, bottoms, tops, settings, values: as above.
        results: the values that are declared outputs of the model by `result`, each with a suggested name.
        last_resort: the values that are outputs only if nothing else is.
    """

    def __init__(
        self,
        net: Net,
        layer: Layer,
        graph: GraphBuilder,
        bottoms: Sequence[str],
        tops: Sequence[str],
        parameters: dict[int, str],
        settings: Mapping[str, str],
        values: Collection[str] = (),
    ) -> None:
        self.net, self.layer, self.graph, self.settings = net, layer, graph, settings
        self.bottoms, self.tops, self.values = list(bottoms), list(tops), values
        self._parameters = parameters
        self._used_name = False
        self.results: list[tuple[str, str | None]] = []
        self.last_resort: list[str] = []

    def add(
        self,
        op: str,
        inputs: Sequence[str],
        outputs: Sequence[str] | None = None,
        *,
        domain: str = "",
        **attributes: Any,
    ) -> str:
        """Append a node and return the name of its first output.

        Args:
            op: the operator.
            inputs: names of values; an empty name leaves out an optional input.
            outputs: names of the outputs, such as ``context.tops``; by default one new value.
            domain: the operator's domain, if it is not ONNX's own.
            attributes: the node's attributes; None leaves one out.
        """
        named = list(outputs) if outputs is not None else [self.graph.fresh(f"{self.layer.name}/{op}")]
        own = not self._used_name and outputs is not None
        self._used_name |= own
        name = self.layer.name if own else f"{self.layer.name}/{op}"
        self.graph.add(op, inputs, named, name=name, domain=domain, attributes=attributes)
        return named[0]

    def constant(self, array: npt.ArrayLike, name: str = "constant") -> str:
        """The name of a constant with these values; floating-point values become float32.

        Args:
            array: the values.
            name: a word that says what they are.
        """
        values = np.asarray(array)
        values = values.astype(np.float32) if values.dtype.kind == "f" else values
        return self.graph.constant(values, f"{self.layer.name}.{name}")

    def number(self, value: float) -> str:
        """The name of a float32 constant without axes."""
        return self.constant(np.float32(value), "number")

    def indices(self, *values: int) -> str:
        """The name of a vector of int64 constants, such as axes or sizes."""
        return self.constant(np.array(values, np.int64), "indices")

    def parameter(self, index: int, shape: Sequence[int] | None = None) -> str:
        """The name of the initializer of one of the layer's parameters; parameters with a common name share it.

        Args:
            index: position of the parameter.
            shape: another shape for it; the initializer is then the layer's own.
        """
        blob = self.layer.blobs[index]
        values = blob.host().astype(np.float32)
        if shape is not None and tuple(shape) != blob.shape:
            return self.graph.constant(values.reshape(tuple(shape)), f"{self.layer.name}.{index}")
        key = id(blob.synced_data)
        if key not in self._parameters:
            name = self.graph.fresh(f"{self.layer.name}.{index}")
            self.graph.constants[name] = values
            self._parameters[key] = name
        return self._parameters[key]

    def transposed(self, index: int) -> str:
        """The name of a constant with the transpose of one of the layer's parameters, a matrix."""
        blob = self.layer.blobs[index]
        key = -id(blob.synced_data)
        if key not in self._parameters:
            name = f"{self.layer.name}.{index % len(self.layer.blobs)}.transposed"
            self._parameters[key] = self.graph.constant(blob.host().T.astype(np.float32), name)
        return self._parameters[key]

    def shape(self, value: str) -> Shape:
        """The shape of a bottom's or top's value; a name, such as ``"N"``, stands for a length that is open."""
        return self.graph.shapes[value]

    def length(self, value: str, axis: int) -> int:
        """The length of an axis that the nodes depend on.

        Raises:
            NeedsFixedAxis: it is open; the net is then exported with a fixed batch size.
        """
        length = self.shape(value)[axis]
        if isinstance(length, str):
            error = NeedsFixedAxis(f"needs to know the length of axis {axis}", where=self.layer.where)
            error.axis = axis
            raise error
        return length

    def spatial(self, value: str, first: int = 2) -> tuple[int, ...]:
        """The lengths of the axes from ``first`` on, which the nodes depend on."""
        return tuple(self.length(value, axis) for axis in range(first, len(self.shape(value))))

    def axis(self, value: str, index: int) -> int:
        """The non-negative index of an axis of a value."""
        return index if index >= 0 else index + len(self.shape(value))

    def reshape(
        self, value: str, shape: Sequence[int | str], outputs: Sequence[str] | None = None, source: Shape = ()
    ) -> str:
        """Append a Reshape to ``shape``, of whose lengths some may be open, and return its output.

        Args:
            value: the value to reshape.
            shape: the new shape, in the terms of `shape`, or with -1 for a length to be inferred.
            outputs: names of the outputs; by default one new value.
            source: the shape of ``value``, if it is neither a bottom nor a top.

        Raises:
            NoOnnxForm: more than one length would have to be inferred.
        """
        old = source or self.graph.shapes.get(value, ())
        dims: list[int] = []
        for position, length in enumerate(shape):
            if isinstance(length, int):
                dims.append(length)
            else:
                dims.append(COPY if old[position : position + 1] == (length,) else INFER)
        if dims.count(INFER) > 1:
            raise self.unsupported("a reshape between two open lengths")
        return self.add("Reshape", [value, self.indices(*dims)], outputs)

    def alias(self, value: str, top: int = 0) -> None:
        """Say that a top is a value that exists already, without a node.

        Args:
            value: the value, such as a bottom.
            top: position of the top.
        """
        self.tops[top] = value

    def result(self, value: str, name: str | None = None, shape: Shape | None = None) -> None:
        """Make a value an output of the model, instead of a loss that is left out.

        Args:
            value: the value.
            name: the output's name, if it is free; by default the blob's.
            shape: the value's shape, if it is neither a bottom nor a top.
        """
        if shape is not None:
            self.graph.shapes[value] = shape
        self.results.append((value, name))

    def if_nothing_else(self, value: str) -> None:
        """Make a value an output if the model has no other."""
        self.last_resort.append(value)

    def input(self, top: int = 0) -> None:
        """Make a top an input of the model."""
        self.graph.inputs[self.tops[top]] = self.shape(self.tops[top])

    def used_once(self, value: str) -> bool:
        """Whether a value is that of a single blob, which only this layer reads."""
        return sum(each == value for each in self.values) == 1

    def producer(self, value: str) -> onnx.NodeProto | None:
        """The node that computes a value; None for inputs and constants."""
        return self.graph.producers.get(value)

    def unsupported(self, what: str, **details: Any) -> NoOnnxForm:
        """The error for something ONNX does not have: ``raise context.unsupported("a random top")``."""
        remedy = details.pop("remedy", "--allow-custom exports it as an operator of domain 'cafx'")
        return NoOnnxForm(f"has no ONNX form: {what}", where=self.layer.where, remedy=remedy, **details)
