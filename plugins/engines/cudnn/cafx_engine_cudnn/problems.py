"""Convolution problems, and their graphs for cuDNN's frontend."""

from __future__ import annotations

from typing import Any

import attrs

IMAGE, FILTERS, RESULT, BIAS = 1, 2, 3, 4
"""How the tensors of a graph are named: cuDNN's uids."""
FORWARD, DATA, WEIGHTS = "forward", "data", "weights"
Pair = tuple[int, int]
Dims = tuple[int, int, int, int]


@attrs.frozen
class Tensor:
    """A channels-last tensor, or a slice of one's channels.

    Attributes:
        dims: N, C, H, W; of filters K, C, R, S.
        pitch: values from pixel to pixel.
        bf16: whether it is bfloat16, else float32.
    """

    dims: Dims
    pitch: int
    bf16: bool

    @property
    def strides(self) -> Dims:
        """Values from index to index of each axis."""
        _, _, height, width = self.dims
        return height * width * self.pitch, 1, width * self.pitch, self.pitch

    @property
    def nbytes(self) -> int:
        """Bytes from its first to its last value, at most."""
        images, _, height, width = self.dims
        return images * height * width * self.pitch * (2 if self.bf16 else 4)


@attrs.frozen
class Problem:
    """One product of a convolution.

    The number of groups follows from the channels of image and filters.

    Attributes:
        kind: `FORWARD` (result from image and filters), `DATA` (the image's gradient from filters
            and the result's) or `WEIGHTS` (the filters' gradient from image and the result's).
        image, filters, result: the tensors, whichever of them is computed.
        stride, pad, dilation: of the convolution, in rows and columns.
        bias: whether a bias is added, which is float32.
        relu: whether the result is rectified.
    """

    kind: str
    image: Tensor
    filters: Tensor
    result: Tensor
    stride: Pair
    pad: Pair
    dilation: Pair
    bias: bool = False
    relu: bool = False

    @property
    def tensors(self) -> dict[int, Tensor]:
        """The tensors by uid."""
        tensors = {IMAGE: self.image, FILTERS: self.filters, RESULT: self.result}
        if self.bias:
            channels = self.result.dims[1]
            tensors[BIAS] = Tensor((1, channels, 1, 1), channels, bf16=False)
        return tensors


def graph_of(problem: Problem, handle: int) -> Any:
    """The problem as a graph, not yet validated."""
    import cudnn

    kinds = cudnn.data_type
    graph = cudnn.pygraph(
        handle=handle,
        io_data_type=kinds.BFLOAT16 if problem.image.bf16 else kinds.FLOAT,
        intermediate_data_type=kinds.FLOAT,
        compute_data_type=kinds.FLOAT,
    )
    given = {FORWARD: (IMAGE, FILTERS), DATA: (RESULT, FILTERS), WEIGHTS: (IMAGE, RESULT)}[problem.kind]
    made = ({IMAGE, FILTERS, RESULT} - set(given)).pop()
    inputs = {uid: _input(graph, problem.tensors[uid], uid) for uid in given}
    window = {"padding": list(problem.pad), "stride": list(problem.stride), "dilation": list(problem.dilation)}
    if problem.kind == FORWARD:
        output = graph.conv_fprop(image=inputs[IMAGE], weight=inputs[FILTERS], **window)
        output = _epilogue(graph, problem, output)
    elif problem.kind == DATA:
        output = graph.conv_dgrad(loss=inputs[RESULT], filter=inputs[FILTERS], **window)
    else:
        output = graph.conv_wgrad(image=inputs[IMAGE], loss=inputs[RESULT], **window)
    tensor = problem.tensors[made]
    output.set_output(True)
    output.set_uid(made)
    output.set_dim(list(tensor.dims))
    output.set_stride(list(tensor.strides))
    output.set_data_type(_kind(tensor))
    return graph


def _epilogue(graph: Any, problem: Problem, output: Any) -> Any:
    import cudnn

    if problem.bias:
        output.set_data_type(cudnn.data_type.FLOAT)
        output = graph.add(a=output, b=_input(graph, problem.tensors[BIAS], BIAS))
    if problem.relu:
        output.set_data_type(cudnn.data_type.FLOAT)
        output = graph.relu(input=output)
    return output


def _input(graph: Any, tensor: Tensor, uid: int) -> Any:
    return graph.tensor(dim=list(tensor.dims), stride=list(tensor.strides), data_type=_kind(tensor), uid=uid)


def _kind(tensor: Tensor) -> Any:
    import cudnn

    return cudnn.data_type.BFLOAT16 if tensor.bf16 else cudnn.data_type.FLOAT
