"""Names and numbers of cuDNN's frontend, version 1.24."""

from __future__ import annotations

from enum import Enum

FRONTEND_VERSION = "1.24.1"
BACKEND_VERSION = 91900
BACKEND_VERSION_STRING = "9.19.0"


class cudnnGraphNotSupportedError(Exception):  # noqa: N801 - the frontend's name
    """No engine of cuDNN computes the graph, or a plan cannot be built."""


class Code(Enum):
    """A member of one of the frontend's enumerations; not equal to its number."""

    def __int__(self) -> int:
        return int(self.value)


class DataType(Code):
    """Types of numbers (``cudnn.data_type``)."""

    NOT_SET = 0
    FLOAT = 1
    DOUBLE = 2
    HALF = 3
    INT8 = 4
    INT32 = 5
    UINT8 = 7
    BFLOAT16 = 10
    INT64 = 11
    BOOLEAN = 12


class HeurMode(Code):
    """How plans are proposed (``cudnn.heur_mode``)."""

    A = 0
    B = 1
    FALLBACK = 2
    OPENSOURCE = 3


class NumericalNote(Code):
    """What a plan does to numbers (``cudnn.numerical_note``)."""

    TENSOR_CORE = 1
    DOWN_CONVERT_INPUTS = 2
    REDUCED_PRECISION_REDUCTION = 3
    FFT = 4
    NONDETERMINISTIC = 5
    WINOGRAD = 6
    WINOGRAD_TILE_4x4 = 7
    WINOGRAD_TILE_6x6 = 8
    WINOGRAD_TILE_13x13 = 9
    STRICT_NAN_PROP = 10


class BehaviorNote(Code):
    """What a plan needs (``cudnn.behavior_note``)."""

    RUNTIME_COMPILATION = 1
    REQUIRES_FILTER_INT8x32_REORDER = 2
    REQUIRES_BIAS_INT8x32_REORDER = 3
    SUPPORTS_CUDA_GRAPH_NATIVE_API = 4
    CUBLASLT_DEPENDENCY = 5


class ReductionMode(Code):
    """How numbers are combined into one (``cudnn.reduction_mode``)."""

    NOT_SET = 0
    ADD = 1
    MUL = 2
    MIN = 3
    MAX = 4
    AMAX = 5
    AVG = 6
    NORM1 = 7
    NORM2 = 8
    MUL_NO_ZEROS = 9


class BuildPlanPolicy(Code):
    """Which plans are built (``cudnn.build_plan_policy``)."""

    HEURISTICS_CHOICE = 0
    ALL = 1
