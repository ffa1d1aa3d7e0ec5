"""V0 to V1: the single message with all options becomes one message per type."""

from __future__ import annotations

import logging
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx.kernel.errors import did_you_mean
from cafx_upgrade_legacy.declarations import V1LayerParameter

log = logging.getLogger("cafx.upgrade")

LayerType = V1LayerParameter.LayerType
PADDING = "padding"
TYPES = {
    "accuracy": LayerType.ACCURACY,
    "bnll": LayerType.BNLL,
    "concat": LayerType.CONCAT,
    "conv": LayerType.CONVOLUTION,
    "data": LayerType.DATA,
    "dropout": LayerType.DROPOUT,
    "euclidean_loss": LayerType.EUCLIDEAN_LOSS,
    "flatten": LayerType.FLATTEN,
    "hdf5_data": LayerType.HDF5_DATA,
    "hdf5_output": LayerType.HDF5_OUTPUT,
    "im2col": LayerType.IM2COL,
    "images": LayerType.IMAGE_DATA,
    "infogain_loss": LayerType.INFOGAIN_LOSS,
    "innerproduct": LayerType.INNER_PRODUCT,
    "lrn": LayerType.LRN,
    "multinomial_logistic_loss": LayerType.MULTINOMIAL_LOGISTIC_LOSS,
    "pool": LayerType.POOLING,
    "relu": LayerType.RELU,
    "sigmoid": LayerType.SIGMOID,
    "softmax": LayerType.SOFTMAX,
    "softmax_loss": LayerType.SOFTMAX_LOSS,
    "split": LayerType.SPLIT,
    "tanh": LayerType.TANH,
    "window_data": LayerType.WINDOW_DATA,
}
OPTIONS = {
    "concat": "concat_param",
    "conv": "convolution_param",
    "data": "data_param",
    "dropout": "dropout_param",
    "hdf5_data": "hdf5_data_param",
    "images": "image_data_param",
    "infogain_loss": "infogain_loss_param",
    "innerproduct": "inner_product_param",
    "lrn": "lrn_param",
    "pool": "pooling_param",
    "window_data": "window_data_param",
}


@attrs.frozen
class Move:
    """The V1 counterpart of a V0 field.

    Attributes:
        name: its name in the options of a type.
        types: V0 types that have it.
    """

    name: str
    types: tuple[str, ...]


WEIGHTED = ("conv", "innerproduct")
WINDOWED = ("conv", "pool")
MOVES = {
    "num_output": Move("num_output", WEIGHTED),
    "biasterm": Move("bias_term", WEIGHTED),
    "weight_filler": Move("weight_filler", WEIGHTED),
    "bias_filler": Move("bias_filler", WEIGHTED),
    "pad": Move("pad", WINDOWED),
    "kernelsize": Move("kernel_size", WINDOWED),
    "stride": Move("stride", WINDOWED),
    "group": Move("group", ("conv",)),
    "pool": Move("pool", ("pool",)),
    "dropout_ratio": Move("dropout_ratio", ("dropout",)),
    "local_size": Move("local_size", ("lrn",)),
    "alpha": Move("alpha", ("lrn",)),
    "beta": Move("beta", ("lrn",)),
    "k": Move("k", ("lrn",)),
    "source": Move("source", ("data", "hdf5_data", "images", "window_data", "infogain_loss")),
    "batchsize": Move("batch_size", ("data", "hdf5_data", "images", "window_data")),
    "rand_skip": Move("rand_skip", ("data", "images")),
    "shuffle_images": Move("shuffle", ("images",)),
    "new_height": Move("new_height", ("images",)),
    "new_width": Move("new_width", ("images",)),
    "concat_dim": Move("concat_dim", ("concat",)),
    "det_fg_threshold": Move("fg_threshold", ("window_data",)),
    "det_bg_threshold": Move("bg_threshold", ("window_data",)),
    "det_fg_fraction": Move("fg_fraction", ("window_data",)),
    "det_context_pad": Move("context_pad", ("window_data",)),
    "det_crop_mode": Move("crop_mode", ("window_data",)),
}
TRANSFORMATIONS = {"scale": "scale", "meanfile": "mean_file", "cropsize": "crop_size", "mirror": "mirror"}
KEPT = ("name", "blobs", "blobs_lr", "weight_decay", "hdf5_output_param")


def upgrade_layers(proto: Any, source: str) -> None:
    """Upgrade all V0 layers of a NetParameter to V1; padding layers become an option of the layers they feed.

    Args:
        proto: the NetParameter, modified in place.
        source: name of the net, for errors.

    Raises:
        CafxError: a layer type is unknown or not installed, or a padding layer is misused.
    """
    upgraded = [_upgraded(layer, source) for layer in _without_padding(proto.layers, source)]
    del proto.layers[:]
    proto.layers.extend(upgraded)


def _without_padding(layers: Any, source: str) -> list[Any]:
    """Remove padding layers and move their padding to the convolution or pooling layers they feed."""
    padded: dict[str, Any] = {}
    kept = []
    for layer in layers:
        for position, bottom in enumerate(layer.bottom):
            padding = padded.get(bottom)
            if padding is not None:
                _check_padding(padding, layer, source)
                layer.layer.pad = padding.layer.pad
                layer.bottom[position] = padding.bottom[0]
        pads = layer.layer.type == PADDING
        padded.update(dict.fromkeys(layer.top, layer if pads else None))
        if not pads:
            kept.append(layer)
    return kept


def _check_padding(padding: Any, layer: Any, source: str) -> None:
    if layer.layer.type not in WINDOWED or len(layer.bottom) != 1:
        raise CafxError(
            f"padding layer '{padding.layer.name}' cannot feed layer '{layer.layer.name}'",
            where=source,
            found=f'type "{layer.layer.type}" with {len(layer.bottom)} bottoms',
            expected='type "conv" or "pool" with 1 bottom',
        )
    if len(padding.bottom) != 1 or len(padding.top) != 1:
        raise CafxError(
            f"wrong number of bottoms or tops of padding layer '{padding.layer.name}'",
            where=source,
            found=f"{len(padding.bottom)} bottoms and {len(padding.top)} tops",
            expected="one of each",
        )


def _upgraded(layer: Any, source: str) -> Any:
    """Upgrade one layer; options that its type does not have are dropped with a warning, as in Caffe."""
    upgraded = type(layer)()
    upgraded.CopyFrom(layer)
    upgraded.ClearField("layer")
    old = layer.layer
    where = f"{source}: layer '{old.name}' ({old.type})"
    for field, value in old.ListFields():
        move = MOVES.get(field.name)
        if field.name == "type":
            upgraded.type = _type(value, where)
        elif field.name in TRANSFORMATIONS:
            _put(upgraded.transform_param, TRANSFORMATIONS[field.name], value)
        elif field.name in KEPT:
            _put(upgraded, field.name, value)
        elif move and old.type in move.types:
            _put(_options(upgraded, OPTIONS[old.type], where), move.name, value)
        else:
            log.warning("%s: '%s' is not an option of this type and is ignored", where, field.name)
    return upgraded


def _type(name: str, where: str) -> V1LayerParameter.LayerType:
    if name not in TYPES:
        raise CafxError(f"unknown V0 layer type '{name}'", where=where, remedy=did_you_mean(name, TYPES))
    return TYPES[name]


def _options(layer: Any, name: str, where: str) -> Any:
    if not hasattr(layer, name):
        raise CafxError(f"no installed plugin declares {name}", where=where, remedy="install the layer's plugin")
    return getattr(layer, name)


def _put(message: Any, name: str, value: Any) -> None:
    """Set a scalar field, append to a repeated one, or merge into a message."""
    current = getattr(message, name)
    if hasattr(value, "MergeFrom"):
        current.MergeFrom(value)
    elif hasattr(current, "append"):
        current.append(value)
    else:
        setattr(message, name, value)
