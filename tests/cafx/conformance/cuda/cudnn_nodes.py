"""Operations of a graph of cuDNN's frontend: what they infer, what they refuse, and what they compute."""

from __future__ import annotations

from typing import Any

import attrs
import numpy as np

from .cudnn_convolution import Floats, Window, backward_data, backward_weight, forward
from .cudnn_names import DataType, ReductionMode, cudnnGraphNotSupportedError
from .cudnn_tensor import KINDS, Tensor, packed_channels_last

WINDOW_FIELDS = {
    "Pre padding": "pre_padding",
    "Post padding": "post_padding",
    "Conv strides": "stride",
    "Conv dilation": "dilation",
}


@attrs.define(eq=False)
class Node:
    """An operation.

    Attributes:
        operation: its name in the frontend.
        inputs: the tensors it reads, by the names of its arguments.
        output: the tensor it makes.
        compute: the type it computes in.
        options: its other arguments, as JSON can hold them.
    """

    operation: str
    inputs: dict[str, Tensor]
    output: Tensor
    compute: DataType
    options: dict[str, Any]

    def infer(self) -> None:
        """Fill in dims and strides of the output that were not set; ValueError where an attribute is missing."""
        raise NotImplementedError

    def check(self) -> None:
        """Raise RuntimeError for arguments that contradict each other, or that no engine supports."""
        if self.compute is not DataType.FLOAT:
            raise cudnnGraphNotSupportedError(f"{self.operation}: compute type {self.compute.name}")
        for tensor in (*self.inputs.values(), self.output):
            if tensor.get_data_type() not in KINDS:
                raise cudnnGraphNotSupportedError(f"{self.operation}: {tensor}")

    def run(self, values: dict[str, Floats]) -> Floats:
        """Compute the output."""
        raise NotImplementedError


class Convolution(Node):
    """A convolution or one of its gradients."""

    def shapes(self) -> tuple[list[int], list[int], list[int]]:
        """Dims of the image, the weights and the result, whichever of them is the output."""
        tensors = {**self.inputs, OUTPUTS[self.operation]: self.output}
        image, weight, result = (tensors[role].get_dim() for role in ROLES[self.operation])
        return image, weight, result

    def window(self) -> Window:
        """How the filter moves."""
        fields = [tuple(self.options[name]) for name in WINDOW_FIELDS.values()]
        return Window(*fields)

    def infer(self) -> None:
        """Fill in what follows from image, weights and window."""
        for name, field in WINDOW_FIELDS.items():
            if not self.options[field]:
                raise ValueError(f"{name} not set.")
        image, weight, result = self.shapes()
        if self.operation == "conv_fprop" and not result and len(image) == len(weight) == 4:
            size = self.window().out((image[2], image[3]), (weight[2], weight[3]))
            self.output.set_dim([image[0], weight[0], *size])
        if self.operation == "conv_dgrad" and not self.output.get_dim():
            raise ValueError("For dgrad node, output dimension inferencing is not possible.")
        if not self.output.get_stride():
            self.output.set_stride(packed_channels_last(self.output.get_dim()))

    def check(self) -> None:
        """Refuse sizes that do not fit, and mixed types and layouts."""
        image, weight, result = self.shapes()
        if not len(image) == len(weight) == len(result) == 4:
            raise cudnnGraphNotSupportedError(f"{self.operation}: only two-dimensional convolutions are here")
        self._check_sizes(image, weight, result)
        super().check()
        kinds = {tensor.get_data_type() for tensor in self.inputs.values()}
        common = self.output.layouts().intersection(*(tensor.layouts() for tensor in self.inputs.values()))
        if len(kinds) > 1 or not common:
            raise cudnnGraphNotSupportedError(f"{self.operation}: {[*self.inputs.values(), self.output]}")

    def _check_sizes(self, image: list[int], weight: list[int], result: list[int]) -> None:
        window = self.window()
        fields = (window.before, window.after, window.stride, window.dilation)
        fits = (
            all(len(field) == 2 for field in fields)
            and min(*window.before, *window.after) >= 0
            and min(*window.stride, *window.dilation) > 0
            and image[1] % weight[1] == 0
            and weight[0] % (image[1] // weight[1]) == 0
            and result == [image[0], weight[0], *window.out((image[2], image[3]), (weight[2], weight[3]))]
        )
        if not fits:
            raise bad_parameter(f"{self.operation}: image {image}, weights {weight}, result {result}, {window}")

    def run(self, values: dict[str, Floats]) -> Floats:
        """The convolution, or one of its gradients."""
        window, shape = self.window(), tuple(self.output.get_dim())
        if self.operation == "conv_fprop":
            return forward(values["image"], values["weight"], window)
        if self.operation == "conv_dgrad":
            return backward_data(values["loss"], values["filter"], shape, window)
        return backward_weight(values["image"], values["loss"], shape, window)


ROLES = {
    "conv_fprop": ("image", "weight", "result"),
    "conv_dgrad": ("image", "filter", "loss"),
    "conv_wgrad": ("image", "weight", "loss"),
}
OUTPUTS = {"conv_fprop": "result", "conv_dgrad": "image", "conv_wgrad": "weight"}


class Pointwise(Node):
    """An operation on each value, with operands of length 1 repeated."""

    def infer(self) -> None:
        """Fill in the common shape of the operands."""
        dims = [tensor.get_dim() for tensor in self.inputs.values()]
        if not self.output.get_dim():
            self.output.set_dim(broadcast(dims))
        if not self.output.get_stride():
            same = [tensor for tensor in self.inputs.values() if tensor.get_dim() == self.output.get_dim()]
            if not same and not self.output.get_is_virtual():
                raise ValueError("Pointwise output strides could not be computed")
            self.output.set_stride(same[0].get_stride() if same else packed_channels_last(self.output.get_dim()))

    def check(self) -> None:
        """Refuse an output of another shape."""
        super().check()
        dims = [tensor.get_dim() for tensor in self.inputs.values()]
        if broadcast(dims) != self.output.get_dim():
            raise bad_parameter(f"{self.operation}: {dims} do not give {self.output.get_dim()}")

    def run(self, values: dict[str, Floats]) -> Floats:
        """The operation on each value."""
        if self.operation in BINARY:
            return BINARY[self.operation](*values.values())
        lower = np.float32(self.options["lower_clip"] or 0.0)
        upper = np.float32(np.inf if self.options["upper_clip"] is None else self.options["upper_clip"])
        slope = np.float32(self.options["negative_slope"] or 0.0)
        value = values["input"]
        if self.operation == "relu":
            low = lower + slope * (value - lower) if slope else lower
            return np.where(value <= lower, low, np.minimum(value, upper))
        return values["loss"] * np.where((value > lower) & (value < upper), np.float32(1), slope * (value <= lower))


BINARY = {"add": np.add, "bias": np.add, "sub": np.subtract, "mul": np.multiply, "scale": np.multiply}


class Matmul(Node):
    """A product of matrices, the last two axes of each operand."""

    def infer(self) -> None:
        """Fill in the shape of the product, row-major."""
        a, b = self.inputs["A"].get_dim(), self.inputs["B"].get_dim()
        if not self.output.get_dim():
            self.output.set_dim([*broadcast([a[:-2], b[:-2]]), a[-2], b[-1]])
        if not self.output.get_stride():
            dim = self.output.get_dim()
            self.output.set_stride([int(np.prod(dim[axis + 1 :], dtype=int)) for axis in range(len(dim))])

    def check(self) -> None:
        """Refuse shapes that do not fit."""
        super().check()
        a, b = self.inputs["A"].get_dim(), self.inputs["B"].get_dim()
        fits = len(a) == len(b) >= 3 and a[-1] == b[-2]
        if not fits or self.output.get_dim() != [*broadcast([a[:-2], b[:-2]]), a[-2], b[-1]]:
            raise bad_parameter(f"matmul: {a} times {b} does not give {self.output.get_dim()}")

    def run(self, values: dict[str, Floats]) -> Floats:
        """The product."""
        return np.matmul(values["A"], values["B"])  # type: ignore[no-any-return]


class Reduction(Node):
    """A reduction over the axes on which the output has length 1."""

    def infer(self) -> None:
        """Fill in the shape of the input: no reduction, unless dims were set."""
        if not self.output.get_dim():
            self.output.set_dim(self.inputs["input"].get_dim())
        if not self.output.get_stride():
            self.output.set_stride(packed_channels_last(self.output.get_dim()))

    def check(self) -> None:
        """Refuse shapes that do not fit, and modes that are not here."""
        super().check()
        source, target = self.inputs["input"].get_dim(), self.output.get_dim()
        if len(source) != len(target) or any(b not in (1, a) for a, b in zip(source, target, strict=True)):
            raise bad_parameter(f"reduction: {source} to {target}")
        if ReductionMode[self.options["mode"]] not in REDUCTIONS:
            raise cudnnGraphNotSupportedError(f"reduction: mode {self.options['mode']}")

    def run(self, values: dict[str, Floats]) -> Floats:
        """The reduced values."""
        target = self.output.get_dim()
        axes = tuple(axis for axis, size in enumerate(values["input"].shape) if target[axis] != size)
        reduce = REDUCTIONS[ReductionMode[self.options["mode"]]]
        return reduce(values["input"], axis=axes, keepdims=True)  # type: ignore[no-any-return, operator]


REDUCTIONS = {
    ReductionMode.ADD: np.sum,
    ReductionMode.AVG: np.mean,
    ReductionMode.MAX: np.max,
    ReductionMode.MIN: np.min,
    ReductionMode.MUL: np.prod,
}
CLASSES: dict[str, type[Node]] = {
    **dict.fromkeys(ROLES, Convolution),
    **dict.fromkeys((*BINARY, "relu", "relu_backward"), Pointwise),
    "matmul": Matmul,
    "reduction": Reduction,
}


def broadcast(dims: list[list[int]]) -> list[int]:
    """The shape that shapes of equal rank have together; ValueError if they have none."""
    if len({len(dim) for dim in dims}) != 1:
        raise ValueError(f"shapes {dims} have different ranks")
    if any(len(set(sizes) - {1}) > 1 for sizes in zip(*dims, strict=True)):
        raise ValueError(f"shapes {dims} do not go together")
    return [max(sizes) for sizes in zip(*dims, strict=True)]


def bad_parameter(message: str) -> RuntimeError:
    """The error for what cuDNN's backend refuses."""
    return RuntimeError(f"CUDNN_BACKEND_OPERATION: cudnnFinalize failed: CUDNN_STATUS_BAD_PARAM: {message}")


def check_pattern(nodes: list[Node]) -> None:
    """Refuse graphs that no engine is known to compute.

    One convolution, product or reduction, with pointwise operations after convolution and product only, or pointwise
    operations alone.
    """
    main = [node for node in nodes if not isinstance(node, Pointwise)]
    if len(main) > 1 or (main and main[0] is not nodes[0]) or (len(nodes) > 1 and isinstance(nodes[0], Reduction)):
        raise cudnnGraphNotSupportedError(f"no engine computes {'+'.join(node.operation for node in nodes)}")
    made = [nodes[0].output]
    for node in nodes[1:]:
        if not any(tensor is output for tensor in node.inputs.values() for output in made):
            raise cudnnGraphNotSupportedError(f"{node.operation} does not follow from the operation before it")
        made.append(node.output)
