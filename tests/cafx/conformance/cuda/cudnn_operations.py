"""The operations that a graph of cuDNN's frontend offers, by the binding's names and arguments."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .cudnn_names import DataType, ReductionMode
from .cudnn_nodes import CLASSES, Node
from .cudnn_tensor import Tensor

OUTPUT_LETTERS = {"conv_fprop": "Y", "conv_dgrad": "DX", "conv_wgrad": "DW", "matmul": "C", "reduction": "Y"}
UNSET = DataType.NOT_SET
Sizes = Sequence[int]


class Operations:
    """Makes tensors and nodes; compute types that are not set are the graph's."""

    def __init__(self) -> None:
        self.tensors: list[Tensor] = []
        self.nodes: list[Node] = []

    def tensor(
        self,
        dim: Sizes,
        stride: Sizes,
        data_type: DataType = UNSET,
        is_virtual: bool = False,
        *,
        name: str = "",
        uid: int = -1,
    ) -> Tensor:
        """A new tensor; ``dim`` is in the order N, C, H, W, however ``stride`` lays it out."""
        made = Tensor(dim, stride, UNSET, is_virtual, name, None if uid == -1 else uid)
        self.tensors.append(made.set_data_type(data_type))
        return made

    def tensor_like(self, input: Tensor, name: str = "") -> Tensor:  # noqa: A002 - the binding's name
        """A new tensor like another one, without its uid."""
        return self.tensor(
            input.get_dim(), input.get_stride(), input.get_data_type(), input.get_is_virtual(), name=name
        )

    def _node(self, operation: str, inputs: dict[str, Tensor], compute: DataType, name: str, **options: Any) -> Tensor:
        for role, tensor in inputs.items():
            if not isinstance(tensor, Tensor):
                raise TypeError(f"{operation}(): incompatible function arguments: {role} is {type(tensor).__name__}")
            assert any(tensor is known for known in self.tensors), f"{operation}: {role} is another graph's tensor"
        letter = OUTPUT_LETTERS.get(operation, "OUT_0")
        output = Tensor(is_virtual=True, name=f"{name or len(self.nodes)}::{letter}")
        self.tensors.append(output)
        self.nodes.append(CLASSES[operation](operation, inputs, output, compute, options))
        return output

    def _convolution(
        self, operation: str, inputs: dict[str, Tensor], arguments: tuple[Sizes, ...], compute: DataType, name: str
    ) -> Tensor:
        padding, before, after, stride, dilation = (list(argument) for argument in arguments)
        if padding and (before or after):
            raise TypeError(f"{operation}(): incompatible function arguments: padding beside pre_padding, post_padding")
        sizes = {"pre_padding": before or padding, "post_padding": after or padding}
        return self._node(operation, inputs, compute, name, **sizes, stride=stride, dilation=dilation)

    def conv_fprop(
        self,
        image: Tensor,
        weight: Tensor,
        padding: Sizes = (),
        stride: Sizes = (),
        dilation: Sizes = (),
        compute_data_type: DataType = UNSET,
        name: str = "",
        *,
        pre_padding: Sizes = (),
        post_padding: Sizes = (),
    ) -> Tensor:
        """A convolution (cross-correlation); groups follow from the channels of image and weight."""
        arguments = (padding, pre_padding, post_padding, stride, dilation)
        inputs = {"image": image, "weight": weight}
        return self._convolution("conv_fprop", inputs, arguments, compute_data_type, name)

    def conv_dgrad(
        self,
        loss: Tensor,
        filter: Tensor,  # noqa: A002 - the binding's name
        padding: Sizes = (),
        stride: Sizes = (),
        dilation: Sizes = (),
        compute_data_type: DataType = UNSET,
        name: str = "",
        *,
        pre_padding: Sizes = (),
        post_padding: Sizes = (),
    ) -> Tensor:
        """The gradient of a convolution with respect to its image, whose dims are to be set."""
        arguments = (padding, pre_padding, post_padding, stride, dilation)
        inputs = {"loss": loss, "filter": filter}
        return self._convolution("conv_dgrad", inputs, arguments, compute_data_type, name)

    def conv_wgrad(
        self,
        image: Tensor,
        loss: Tensor,
        padding: Sizes = (),
        stride: Sizes = (),
        dilation: Sizes = (),
        compute_data_type: DataType = UNSET,
        name: str = "",
        *,
        pre_padding: Sizes = (),
        post_padding: Sizes = (),
    ) -> Tensor:
        """The gradient of a convolution with respect to its weights, whose dims are to be set."""
        arguments = (padding, pre_padding, post_padding, stride, dilation)
        inputs = {"image": image, "loss": loss}
        return self._convolution("conv_wgrad", inputs, arguments, compute_data_type, name)

    def add(self, a: Tensor, b: Tensor, compute_data_type: DataType = UNSET, name: str = "") -> Tensor:
        """a + b."""
        return self._node("add", {"a": a, "b": b}, compute_data_type, name)

    def sub(self, a: Tensor, b: Tensor, compute_data_type: DataType = UNSET, name: str = "") -> Tensor:
        """a - b."""
        return self._node("sub", {"a": a, "b": b}, compute_data_type, name)

    def mul(self, a: Tensor, b: Tensor, compute_data_type: DataType = UNSET, name: str = "") -> Tensor:
        """a · b."""
        return self._node("mul", {"a": a, "b": b}, compute_data_type, name)

    def bias(
        self,
        input: Tensor,  # noqa: A002 - the binding's name
        bias: Tensor,
        compute_data_type: DataType = UNSET,
        name: str = "",
    ) -> Tensor:
        """input + bias."""
        return self._node("bias", {"input": input, "bias": bias}, compute_data_type, name)

    def scale(
        self,
        input: Tensor,  # noqa: A002 - the binding's name
        scale: Tensor,
        compute_data_type: DataType = UNSET,
        name: str = "",
    ) -> Tensor:
        """input · scale."""
        return self._node("scale", {"input": input, "scale": scale}, compute_data_type, name)

    def relu(
        self,
        input: Tensor,  # noqa: A002 - the binding's name
        negative_slope: float | None = None,
        lower_clip: float | None = None,
        upper_clip: float | None = None,
        compute_data_type: DataType = UNSET,
        name: str = "",
    ) -> Tensor:
        """max(input, lower_clip), with a slope below and a bound above."""
        clips = {"negative_slope": negative_slope, "lower_clip": lower_clip, "upper_clip": upper_clip}
        return self._node("relu", {"input": input}, compute_data_type, name, **clips)

    def relu_backward(
        self,
        loss: Tensor,
        input: Tensor,  # noqa: A002 - the binding's name
        negative_slope: float | None = None,
        lower_clip: float | None = None,
        upper_clip: float | None = None,
        compute_data_type: DataType = UNSET,
        name: str = "",
    ) -> Tensor:
        """The gradient of relu at ``input``."""
        clips = {"negative_slope": negative_slope, "lower_clip": lower_clip, "upper_clip": upper_clip}
        return self._node("relu_backward", {"loss": loss, "input": input}, compute_data_type, name, **clips)

    def matmul(
        self,
        A: Tensor,  # noqa: N803 - the binding's name
        B: Tensor,  # noqa: N803
        compute_data_type: DataType = UNSET,
        padding: float = 0.0,
        name: str = "",
    ) -> Tensor:
        """The product of the matrices in the last two axes."""
        return self._node("matmul", {"A": A, "B": B}, compute_data_type, name)

    def reduction(
        self,
        input: Tensor,  # noqa: A002 - the binding's name
        mode: ReductionMode,
        compute_data_type: DataType = UNSET,
        name: str = "",
    ) -> Tensor:
        """A reduction over the axes on which the output's dims, to be set, are 1."""
        return self._node("reduction", {"input": input}, compute_data_type, name, mode=mode.name)
