"""Fields of Intel's fork: engines by name, several nodes, int8, random sizes of images."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, Message, message, option
from cafx.kernel.schema import Dialect, adds_values, extends, ignored
from cafx_lib_ssd import ResizeParameter

__version__ = "0.1.0"
ENGINE = ignored("the engine is chosen by --engine")
NODES = ignored("cafx runs on one node")
AUGMENTATION = ignored("images keep the size of their records")


@message()
class IntelQuantizationParameter(Message):
    """How a layer computes with int8."""

    class Precision(IntEnum):
        """Kinds of numbers."""

        DYNAMIC_FIXED_POINT = 0

    class Rounding(IntEnum):
        """Rounding."""

        NEAREST = 0

    precision: Precision = option(1, Precision, Precision.DYNAMIC_FIXED_POINT, doc="kind of numbers")
    rounding_scheme: Rounding = option(2, Rounding, Rounding.NEAREST, doc="rounding")
    bw_layer_in: int = option(3, "uint32", 32, doc="bits of inputs")
    bw_layer_out: int = option(4, "uint32", 32, doc="bits of outputs")
    bw_params: int = option(5, "uint32", 32, doc="bits of parameters")
    fl_layer_in: tuple[int, ...] = option(6, "int32", repeated=True, doc="fractional bits of inputs")
    fl_layer_out: tuple[int, ...] = option(7, "int32", repeated=True, doc="fractional bits of outputs")
    fl_params: tuple[int, ...] = option(8, "int32", repeated=True, doc="fractional bits of parameters")
    scale_in: tuple[float, ...] = option(20, "float", repeated=True, doc="scales of inputs")
    scale_out: tuple[float, ...] = option(21, "float", repeated=True, doc="scales of outputs")
    scale_params: tuple[float, ...] = option(22, "float", repeated=True, doc="scales of parameters")
    is_negative_input: bool = option(None, "bool", False, doc="whether inputs are signed")


@message()
class IntelModelParallel(Message):
    """Layers that are spread over nodes."""

    layer_from: str = option(1, "string", required=True, doc="first layer")
    layer_to: str = option(2, "string", doc="last layer")
    num_nodes: int = option(3, "uint32", doc="nodes; 0 for all")
    model_parts: int = option(4, "uint32", doc="parts; 0 for all nodes")


@message()
class IntelMultinode(Message):
    """How a net or layer is spread over nodes."""

    model_parallel: tuple[IntelModelParallel, ...] = option(1, IntelModelParallel, repeated=True, doc="spread layers")
    num_nodes: int = option(None, "uint32", doc="nodes; 0 for all")
    model_parts: int = option(None, "uint32", 1, doc="parts; 0 for all nodes")


@message()
class IntelRandomResize(Message):
    """Random size of an image."""

    min_size: int = option(1, "uint32", 0, doc="least shorter side")
    max_size: int = option(2, "uint32", 0, doc="largest shorter side")
    resize_param: ResizeParameter = option(3, ResizeParameter, doc="how images are resized")


@message()
class IntelRandomAspectRatio(Message):
    """Random part of an image, as for GoogLeNet."""

    min_area_ratio: float = option(1, "float", 0.5, doc="least part of the area")
    max_area_ratio: float = option(2, "float", 1.0, doc="largest part of the area")
    aspect_ratio_change: float = option(3, "float", 1.0, doc="change of the aspect ratio")
    max_attempt: int = option(4, "uint32", 10, doc="attempts")
    resize_param: ResizeParameter = option(5, ResizeParameter, doc="how the part is resized")


@extends("NetParameter")
class IntelNet(Message):
    """Engine and nodes of a net."""

    engine: str = option(9, "string", "", doc="engine of all layers", effect=ENGINE)
    bn_stats_batch_size: int = option(
        11, "uint32", 0, doc="images per statistic", effect=ignored("BatchNorm's statistics are of the whole batch")
    )
    multinode: IntelMultinode = option(101, IntelMultinode, doc="nodes", effect=NODES)
    benchmark: bool = option(None, "bool", False, doc="measure time", effect=ignored("see 'cafx time'"))


@extends("LayerParameter")
class IntelLayer(Message):
    """Engine and number type of a layer."""

    engine: str = option(149, "string", "", doc="engine of this layer", effect=ENGINE)
    multinode: IntelMultinode = option(150, IntelMultinode, doc="nodes", effect=NODES)
    quantization_param: IntelQuantizationParameter = option(
        158,
        IntelQuantizationParameter,
        doc="int8",
        effect=ignored("layers compute in float32 or bfloat16: --precision"),
    )


@extends("BatchNormParameter")
class IntelBatchNorm(Message):
    """A scale inside BatchNorm."""

    filler: FillerParameter = option(
        None, FillerParameter, doc="initial scale", effect=ignored("BatchNorm has no scale; the Scale layer has")
    )
    use_weight_bias: bool = option(
        None, "bool", False, doc="scale inside BatchNorm", effect=ignored("BatchNorm has no scale; the Scale layer has")
    )


@extends("FillerParameter")
class IntelFiller(Message):
    """A factor."""

    scale: float = option(9, "float", 1.0, doc="factor of msra", effect=ignored("msra has its own"))


@extends("TransformationParameter")
class IntelTransformation(Message):
    """Random sizes."""

    random_resize_param: IntelRandomResize = option(15, IntelRandomResize, doc="random size", effect=AUGMENTATION)
    random_aspect_ratio_param: IntelRandomAspectRatio = option(
        16, IntelRandomAspectRatio, doc="random part", effect=AUGMENTATION
    )


@extends("SolverParameter")
class IntelSolver(Message):
    """Engine."""

    engine: str = option(47, "string", "", doc="engine of all nets", effect=ENGINE)
    disabled_update: bool = option(46, "bool", False, doc="only measure time", effect=ignored("see 'cafx time'"))


def _engines(target: str) -> type[IntEnum]:
    """Intel's engines, for the enum of one layer's options."""
    values = IntEnum(f"Intel{target.split('P', maxsplit=1)[0]}Engine", {"MKL2017": 3, "MKLDNN": 4})  # type: ignore[misc]
    return adds_values(target, ENGINE)(values)


ENGINES = tuple(
    _engines(f"{name}Parameter.Engine")
    for name in ("Convolution", "Pooling", "ReLU", "LRN", "Softmax", "Sigmoid", "TanH", "SPP")
)


class Intel(Dialect):
    """Fields of Intel's fork, 2016 to 2019."""

    fork = "Intel"
    declares = (IntelNet, IntelLayer, IntelBatchNorm, IntelFiller, IntelTransformation, IntelSolver, *ENGINES)
