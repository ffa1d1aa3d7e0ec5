"""Python bindings of oneDNN's C API, by ctypes.

Functions such as `eltwise_forward` create a `PrimitiveDesc`. Its `build` generates code, a `Primitive`, which is
bound to memory and called. All these functions take the descriptors of their run-time arguments, named as in
oneDNN (src, diff_dst, …), and

    training: of a forward primitive, whether a backward primitive follows (default: True).
    forward: of a backward primitive, the descriptor of the forward primitive.
    attr: attributes of the primitive.

They raise `DnnlError` if oneDNN has no implementation. Their docstrings list the run-time arguments (`Arg`).

Example:
    >>> import numpy as np
    >>> desc = MemoryDesc.plain((1, 2))
    >>> x, y = Memory(desc, np.array([[-1, 2]], np.float32)), Memory(desc)
    >>> relu = eltwise_forward(Alg.RELU, desc, desc)
    >>> stream, scratch = Stream(), Scratchpad()
    >>> call = relu.build().prepare(stream, {Arg.SRC: x, Arg.DST: y} | scratch.argument(relu))
    >>> call()
    >>> y.flat.tolist()
    [0.0, 2.0]
"""

from .attributes import Attr, BinaryOp, EltwiseOp, PostOp, SumOp
from .constants import (
    Alg,
    Arg,
    DataType,
    FormatKind,
    Fpmath,
    Isa,
    Norm,
    Prop,
    Query,
    Status,
    Tag,
    post_op_arg,
    scale_arg,
    source_arg,
)
from .library import DnnlError, Library, load, unavailable
from .memory import Memory, MemoryDesc, Stream, zeroed
from .normalization import (
    batch_norm_backward,
    batch_norm_forward,
    lrn_backward,
    lrn_forward,
    softmax_backward,
    softmax_forward,
)
from .pointwise import binary, concat, eltwise_backward, eltwise_forward, reduction, reorder, weighted_sum
from .primitives import Call, CallSequence, Primitive, PrimitiveDesc, Scratchpad
from .products import inner_product_backward_data, inner_product_backward_weights, inner_product_forward, matmul
from .windowed import Window, convolution, deconvolution, pooling_backward, pooling_forward

__all__ = [
    "Alg",
    "Arg",
    "Attr",
    "BinaryOp",
    "Call",
    "DataType",
    "DnnlError",
    "EltwiseOp",
    "FormatKind",
    "Fpmath",
    "Isa",
    "Library",
    "Memory",
    "MemoryDesc",
    "Norm",
    "PostOp",
    "Primitive",
    "PrimitiveDesc",
    "CallSequence",
    "Prop",
    "Query",
    "Scratchpad",
    "Status",
    "Stream",
    "SumOp",
    "Tag",
    "Window",
    "zeroed",
    "batch_norm_backward",
    "batch_norm_forward",
    "binary",
    "concat",
    "convolution",
    "deconvolution",
    "eltwise_backward",
    "eltwise_forward",
    "inner_product_backward_data",
    "inner_product_backward_weights",
    "inner_product_forward",
    "load",
    "lrn_backward",
    "lrn_forward",
    "matmul",
    "pooling_backward",
    "pooling_forward",
    "post_op_arg",
    "reduction",
    "reorder",
    "scale_arg",
    "softmax_backward",
    "softmax_forward",
    "source_arg",
    "unavailable",
    "weighted_sum",
]
