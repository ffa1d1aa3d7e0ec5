"""Fields of NVIDIA's fork: number types, cuDNN's algorithms, data threads, batch normalisation with scale."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum
from typing import TYPE_CHECKING, Any

import attrs

from cafx.kernel import FillerParameter, Message, option
from cafx.kernel.net import LayerWeights
from cafx.kernel.schema import Dialect, Upgrade, extends, ignored, read_by

if TYPE_CHECKING:
    from cafx.conformance.kinds.upgrade import UpgradeCase

__version__ = "0.1.0"
PRECISION = ignored("the whole net has one precision: --precision")
THREADS = ignored("threads and memory are chosen by the data layer")
ALGORITHMS = ignored("algorithms are chosen by the engine")
MERGED = read_by("the upgrade to BatchNorm and Scale")
AUGMENTATION = ignored("images keep the size of their records")


class Type(IntEnum):
    """Types of numbers."""

    DOUBLE = 0
    FLOAT = 1
    FLOAT16 = 2
    INT = 3
    UINT = 4


@extends("NetParameter")
class NVIDIANet(Message):
    """Number types of all layers, and memory."""

    default_forward_type: Type = option(None, Type, Type.FLOAT, doc="type of activations", effect=PRECISION)
    default_backward_type: Type = option(None, Type, Type.FLOAT, doc="type of gradients", effect=PRECISION)
    default_forward_math: Type = option(None, Type, Type.FLOAT, doc="type of sums, forward", effect=PRECISION)
    default_backward_math: Type = option(None, Type, Type.FLOAT, doc="type of sums, backward", effect=PRECISION)
    global_grad_scale: float = option(
        None, "float", 1.0, doc="factor against underflow of float16", effect=ignored("gradients are not float16")
    )
    global_grad_scale_adaptive: bool = option(
        None, "bool", False, doc="adapt that factor", effect=ignored("gradients are not float16")
    )
    default_cudnn_math_override: int = option(None, "int32", -1, doc="cuDNN's mode", effect=ALGORITHMS)
    reduce_buckets: int = option(None, "int32", 3, doc="parts of an all-reduce", effect=THREADS)
    eltwise_mem_sharing: bool = option(None, "bool", True, doc="share memory in Eltwise", effect=THREADS)


@extends("LayerParameter")
class NVIDIALayer(Message):
    """Number types of one layer."""

    forward_type: Type = option(145, Type, Type.FLOAT, doc="type of activations", effect=PRECISION)
    backward_type: Type = option(146, Type, Type.FLOAT, doc="type of gradients", effect=PRECISION)
    forward_math: Type = option(147, Type, Type.FLOAT, doc="type of sums, forward", effect=PRECISION)
    backward_math: Type = option(148, Type, Type.FLOAT, doc="type of sums, backward", effect=PRECISION)
    cudnn_math_override: int = option(None, "int32", -1, doc="cuDNN's mode", effect=ALGORITHMS)
    debug: bool = option(None, "bool", False, doc="log this layer", effect=ignored("see debug_info"))


@extends("ConvolutionParameter")
class NVIDIAConvolution(Message):
    """cuDNN's algorithms."""

    class Seeker(IntEnum):
        """How algorithms are found."""

        GET = 0
        FINDEX = 1

    cudnn_convolution_algo_seeker: Seeker = option(
        19, Seeker, Seeker.FINDEX, doc="how cuDNN finds an algorithm", effect=ALGORITHMS
    )
    conv_algos_override: str = option(None, "string", "-1,-1,-1", doc="cuDNN's algorithms", effect=ALGORITHMS)


@extends("BatchNormParameter")
class NVIDIABatchNorm(Message):
    """Batch normalisation with a learned scale and bias in the same layer."""

    scale_filler: FillerParameter = option(5, FillerParameter, doc="initial scale, 1 if unset", effect=MERGED)
    bias_filler: FillerParameter = option(6, FillerParameter, doc="initial bias", effect=MERGED)
    scale_bias: bool = option(7, "bool", False, doc="learn a scale and a bias per channel", effect=MERGED)


@extends("DataParameter")
class NVIDIAData(Message):
    """Threads and memory."""

    threads: int = option(11, "uint32", 0, doc="threads that transform", effect=THREADS)
    parser_threads: int = option(None, "uint32", 0, doc="threads that parse", effect=THREADS)
    cache: bool = option(None, "bool", False, doc="keep the database in memory", effect=THREADS)


@extends("TransformationParameter")
class NVIDIATransformation(Message):
    """Where images are transformed, and their random size."""

    use_gpu_transform: bool = option(None, "bool", False, doc="transform on the GPU", effect=THREADS)
    img_rand_resize_lower: int = option(None, "uint32", 0, doc="least shorter side", effect=AUGMENTATION)
    img_rand_resize_upper: int = option(None, "uint32", 0, doc="largest shorter side", effect=AUGMENTATION)
    rand_resize_ratio_lower: float = option(None, "float", 0.0, doc="least aspect ratio", effect=AUGMENTATION)
    rand_resize_ratio_upper: float = option(None, "float", 0.0, doc="largest aspect ratio", effect=AUGMENTATION)
    random_seed: int = option(None, "int64", -1, doc="seed of mirroring and crops", effect=ignored("see --seed"))


@extends("SolverParameter")
class NVIDIASolver(Message):
    """How a solver stores and computes."""

    solver_data_type: Type = option(None, Type, Type.FLOAT, doc="type of parameters", effect=PRECISION)
    store_blobs_in_old_format: bool = option(
        None, "bool", False, doc="write weights as BVLC does", effect=ignored("they always are")
    )
    per_parameter_reduce: bool = option(None, "bool", True, doc="all-reduce per parameter", effect=THREADS)


class NVIDIA(Dialect):
    """Fields of NVIDIA's fork, branches caffe-0.15 to caffe-0.17."""

    fork = "NVIDIA"
    declares = (
        NVIDIANet,
        NVIDIALayer,
        NVIDIAConvolution,
        NVIDIABatchNorm,
        NVIDIAData,
        NVIDIATransformation,
        NVIDIASolver,
    )


class ScaledBatchNorm(Upgrade):
    """Replaces a BatchNorm with ``scale_bias`` by BatchNorm and Scale, in nets and in weights files.

    The Scale layer of ``bn1`` is called ``bn1_scale``; it has the last two of the five parameters.
    """

    SUFFIX = "_scale"
    BLOBS = 5

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """Split the layers, in place."""
        if not any(_is_scaled(layer) for layer in proto.layer):
            return proto
        layers = list(proto.layer)
        del proto.layer[:]
        for layer in layers:
            if _is_scaled(layer):
                proto.layer.extend(self._split(layer))
            else:
                proto.layer.append(layer)
        return proto

    def _split(self, layer: Any) -> list[Any]:
        norm, scale = type(layer)(), type(layer)()
        norm.CopyFrom(layer)
        options = norm.batch_norm_param
        scale.name, scale.type = layer.name + self.SUFFIX, "Scale"
        scale.bottom.extend(layer.top)
        scale.top.extend(layer.top)
        for rules in ("include", "exclude"):
            getattr(scale, rules).extend(getattr(layer, rules))
        scale.scale_param.bias_term = True
        scale.scale_param.filler.value = 1
        for filler, target in (
            ("scale_filler", scale.scale_param.filler),
            ("bias_filler", scale.scale_param.bias_filler),
        ):
            if options.HasField(filler):
                target.CopyFrom(getattr(options, filler))
        scale.param.extend(layer.param[self.BLOBS - 2 :])
        del norm.param[self.BLOBS - 2 :]
        for field in ("scale_bias", "scale_filler", "bias_filler"):
            options.ClearField(field)
        return [norm, scale]

    def upgrade_weights(self, entries: Sequence[LayerWeights]) -> list[LayerWeights]:
        """Split the parameters mean, variance, factor, scale and bias."""
        split: list[LayerWeights] = []
        for entry in entries:
            sizes = [blob.data.size for blob in entry.blobs]
            if len(sizes) == self.BLOBS and sizes[2] == 1 and len({*sizes[:2], *sizes[3:]}) == 1 and sizes[0] > 1:
                split.append(attrs.evolve(entry, blobs=entry.blobs[:3]))
                flat = [attrs.evolve(blob, shape=(blob.data.size,)) for blob in entry.blobs[3:]]
                split.append(LayerWeights(entry.name + self.SUFFIX, flat, "Scale"))
            else:
                split.append(entry)
        return split

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """A layer with scale and bias, one without, and weights of five parameters."""
        from cafx.conformance.kinds.upgrade import UpgradeCase

        layer = 'layer {{ name: "bn" type: "BatchNorm" bottom: "x" top: "y" batch_norm_param {{ {} }} }}'
        old = layer.format("scale_bias: true scale_filler { value: 2 }")
        new = (
            layer.format("")
            + """
            layer { name: "bn_scale" type: "Scale" bottom: "y" top: "y"
              scale_param { bias_term: true filler { value: 2 } } }
        """
        )
        yield UpgradeCase("scaled", old, new)
        yield UpgradeCase("plain", layer.format("eps: 0.1"), layer.format("eps: 0.1"))
        shapes = [(1, 3, 1, 1), (1, 3, 1, 1), (1,), (1, 3, 1, 1), (1, 3, 1, 1)]
        yield UpgradeCase("weights", weights=({"bn": shapes}, {"bn": shapes[:3], "bn_scale": [(3,), (3,)]}))


def _is_scaled(layer: Any) -> bool:
    return bool(layer.HasField("batch_norm_param") and layer.batch_norm_param.scale_bias)
