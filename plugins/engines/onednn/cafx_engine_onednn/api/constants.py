"""Enumerations of oneDNN's C API, which are stable within version 3."""

from enum import IntEnum, IntFlag

MAX_NDIMS = 12


class Status(IntEnum):
    """Return values of functions."""

    SUCCESS = 0
    OUT_OF_MEMORY = 1
    INVALID_ARGUMENTS = 2
    UNIMPLEMENTED = 3
    LAST_IMPL_REACHED = 4
    RUNTIME_ERROR = 5
    NOT_REQUIRED = 6
    INVALID_GRAPH = 7
    INVALID_GRAPH_OP = 8
    INVALID_SHAPE = 9
    INVALID_DATA_TYPE = 10


class DataType(IntEnum):
    """Element types."""

    UNDEF = 0
    F16 = 1
    BF16 = 2
    F32 = 3
    S32 = 4
    S8 = 5
    U8 = 6
    F64 = 7


class Tag(IntEnum):
    """The named layouts that the engine uses.

    Letters are axes in storage order, outermost first. The digit is the number of spatial axes: `X2_16B` are
    activations in blocks of 16 channels, `W2_16I16O` weights in blocks of 16 inputs × 16 outputs,
    `GW2_16I16O` the same with groups, and `W2_I16O` weights in blocks of 16 outputs, each ordered by tap,
    then by input.
    """

    ANY = 1
    A = 2
    AB = 3
    ABC = 4
    ABCD = 5
    ABCDE = 6
    ABCDEF = 7
    X1_16B = 56
    X2_16B = 78
    X3_16B = 121
    W1_16I16O = 57
    W2_16I16O = 79
    W3_16I16O = 122
    GW1_16I16O = 81
    W2_I16O = 211
    GW2_I16O = 188
    GW2_16I16O = 124
    GW3_16I16O = 166


class FormatKind(IntEnum):
    """Kinds of layout: undefined, chosen by the primitive, blocked (or strided), internal to oneDNN."""

    UNDEF = 0
    ANY = 1
    BLOCKED = 2
    OPAQUE = 3


class Prop(IntEnum):
    """The pass that a primitive belongs to."""

    FORWARD_TRAINING = 64
    FORWARD_INFERENCE = 96
    BACKWARD = 128
    BACKWARD_DATA = 160
    BACKWARD_WEIGHTS = 192


class Alg(IntEnum):
    """Algorithms of all primitives."""

    UNDEF = 0
    CONVOLUTION_DIRECT = 0x1
    CONVOLUTION_WINOGRAD = 0x2
    CONVOLUTION_AUTO = 0x3
    RELU = 0x20
    TANH = 0x21
    ELU = 0x22
    SQUARE = 0x23
    ABS = 0x24
    SQRT = 0x25
    LINEAR = 0x26
    SOFT_RELU = 0x27
    HARDSIGMOID = 0x28
    LOGISTIC = 0x29
    EXP = 0x2A
    SWISH = 0x2C
    LOG = 0x2D
    CLIP = 0x2E
    POW = 0x30
    # the *_DST forms compute gradients from the output, the only value that in-place layers keep
    RELU_DST = 0x100
    TANH_DST = 0x101
    ELU_DST = 0x102
    SQRT_DST = 0x103
    LOGISTIC_DST = 0x104
    EXP_DST = 0x105
    POOLING_MAX = 0x1FF
    POOLING_AVG_INCLUDE_PADDING = 0x2FF
    POOLING_AVG_EXCLUDE_PADDING = 0x3FF
    LRN_ACROSS_CHANNELS = 0xAFF
    LRN_WITHIN_CHANNEL = 0xBFF
    BINARY_ADD = 0x1FFF0
    BINARY_MUL = 0x1FFF1
    BINARY_MAX = 0x1FFF2
    BINARY_MIN = 0x1FFF3
    BINARY_DIV = 0x1FFF4
    BINARY_SUB = 0x1FFF5
    BINARY_GE = 0x1FFF6
    BINARY_GT = 0x1FFF7
    REDUCTION_MAX = 0x2FFF2
    REDUCTION_SUM = 0x2FFF4
    REDUCTION_MEAN = 0x2FFF6
    SOFTMAX_ACCURATE = 0x30000
    SOFTMAX_LOG = 0x30001


class Norm(IntFlag):
    """Flags of batch normalisation."""

    NONE = 0
    GLOBAL_STATS = 1
    SCALE = 2
    SHIFT = 4
    FUSE_RELU = 8
    FUSE_ADD_RELU = 16


class Arg(IntEnum):
    """Run-time arguments of primitives."""

    SRC = 1
    SRC_1 = 2
    DST = 17
    WEIGHTS = 33
    BIAS = 41
    MEAN = 49
    VARIANCE = 50
    SCALE = 51
    SHIFT = 52
    WORKSPACE = 64
    SCRATCHPAD = 80
    DIFF_SRC = 129
    DIFF_DST = 145
    DIFF_WEIGHTS = 161
    DIFF_BIAS = 169
    DIFF_SCALE = 255
    DIFF_SHIFT = 256


MULTIPLE_SRC = 1024
ATTR_SCALES = 4096
ATTR_POST_OP = 32768


def source_arg(index: int) -> int:
    """The argument for source number `index` of concat and sum."""
    return MULTIPLE_SRC + index


def scale_arg(arg: int) -> int:
    """The argument for the run-time scale of argument `arg`."""
    return ATTR_SCALES | arg


def post_op_arg(index: int, arg: int = Arg.SRC_1) -> int:
    """The argument for what the post-op at position `index` reads: a binary one SRC_1, PReLU WEIGHTS."""
    return (ATTR_POST_OP * (index + 1)) | arg


class Query(IntEnum):
    """Properties of descriptors that can be queried."""

    IMPL_INFO_STR = 8
    STRIDES = 14
    SRC_MD = 129
    DIFF_SRC_MD = 130
    WEIGHTS_MD = 131
    DIFF_WEIGHTS_MD = 132
    DST_MD = 133
    DIFF_DST_MD = 134
    WORKSPACE_MD = 135
    SCRATCHPAD_MD = 136
    EXEC_ARG_MD = 255
    NDIMS_S32 = 256
    DIMS = 257
    DATA_TYPE = 258
    SUBMEMORY_OFFSET_S64 = 259
    PADDED_DIMS = 260
    PADDED_OFFSETS = 261
    FORMAT_KIND = 262
    INNER_NBLKS_S32 = 263
    INNER_BLKS = 264
    INNER_IDXS = 265


class Isa(IntEnum):
    """Instruction sets as bit masks: a includes b if `a & b == b`."""

    DEFAULT = 0x0
    SSE41 = 0x1
    AVX = 0x3
    AVX2 = 0x7
    AVX512_CORE = 0x27
    AVX512_CORE_VNNI = 0x67
    AVX512_CORE_BF16 = 0xE7
    AVX512_CORE_FP16 = 0x1EF
    AVX512_CORE_AMX = 0xFEF
