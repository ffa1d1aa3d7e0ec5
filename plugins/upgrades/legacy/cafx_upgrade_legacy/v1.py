"""V1 to V2: type numbers become names, parallel lists become one message per parameter."""

from __future__ import annotations

from typing import Any

from cafx.kernel import CafxError
from cafx_upgrade_legacy.declarations import V1LayerParameter

LayerType = V1LayerParameter.LayerType
TYPES = {
    LayerType.NONE: "",
    LayerType.ABSVAL: "AbsVal",
    LayerType.ACCURACY: "Accuracy",
    LayerType.ARGMAX: "ArgMax",
    LayerType.BNLL: "BNLL",
    LayerType.CONCAT: "Concat",
    LayerType.CONTRASTIVE_LOSS: "ContrastiveLoss",
    LayerType.CONVOLUTION: "Convolution",
    LayerType.DATA: "Data",
    LayerType.DECONVOLUTION: "Deconvolution",
    LayerType.DROPOUT: "Dropout",
    LayerType.DUMMY_DATA: "DummyData",
    LayerType.EUCLIDEAN_LOSS: "EuclideanLoss",
    LayerType.ELTWISE: "Eltwise",
    LayerType.EXP: "Exp",
    LayerType.FLATTEN: "Flatten",
    LayerType.HDF5_DATA: "HDF5Data",
    LayerType.HDF5_OUTPUT: "HDF5Output",
    LayerType.HINGE_LOSS: "HingeLoss",
    LayerType.IM2COL: "Im2col",
    LayerType.IMAGE_DATA: "ImageData",
    LayerType.INFOGAIN_LOSS: "InfogainLoss",
    LayerType.INNER_PRODUCT: "InnerProduct",
    LayerType.LRN: "LRN",
    LayerType.MEMORY_DATA: "MemoryData",
    LayerType.MULTINOMIAL_LOGISTIC_LOSS: "MultinomialLogisticLoss",
    LayerType.MVN: "MVN",
    LayerType.POOLING: "Pooling",
    LayerType.POWER: "Power",
    LayerType.RELU: "ReLU",
    LayerType.SIGMOID: "Sigmoid",
    LayerType.SIGMOID_CROSS_ENTROPY_LOSS: "SigmoidCrossEntropyLoss",
    LayerType.SILENCE: "Silence",
    LayerType.SOFTMAX: "Softmax",
    LayerType.SOFTMAX_LOSS: "SoftmaxWithLoss",
    LayerType.SPLIT: "Split",
    LayerType.SLICE: "Slice",
    LayerType.TANH: "TanH",
    LayerType.WINDOW_DATA: "WindowData",
    LayerType.THRESHOLD: "Threshold",
}
PARAM_FIELDS = {"param": "name", "blob_share_mode": "share_mode", "blobs_lr": "lr_mult", "weight_decay": "decay_mult"}
TRANSFORMED = {
    LayerType.DATA: "data_param",
    LayerType.IMAGE_DATA: "image_data_param",
    LayerType.WINDOW_DATA: "window_data_param",
}
TRANSFORMATIONS = ("scale", "mean_file", "crop_size", "mirror")


def move_transformations(proto: Any) -> None:
    """Move transformations from the options of data layers to their transform_param, in place."""
    layers = [layer for layer in proto.layers if hasattr(layer, TRANSFORMED.get(layer.type, ""))]
    pairs = [(layer, getattr(layer, TRANSFORMED[layer.type])) for layer in layers]
    if not any(options.HasField(name) for _, options in pairs for name in TRANSFORMATIONS):
        return
    for layer, options in pairs:
        # as in Caffe, all data layers get both messages, even empty, if any layer has such a field
        options.SetInParent()
        layer.transform_param.SetInParent()
        for name in TRANSFORMATIONS:
            if options.HasField(name):
                setattr(layer.transform_param, name, getattr(options, name))
                options.ClearField(name)


def upgrade_layers(proto: Any, source: str) -> None:
    """Upgrade all V1 layers of a NetParameter to V2, in place.

    Raises:
        CafxError: the net also has V2 layers.
    """
    if proto.layer:
        raise CafxError("mixes 'layers' and 'layer'", where=source, remedy="write all of them as 'layer'")
    for old in proto.layers:
        _upgrade(old, proto.layer.add())
    del proto.layers[:]


def _upgrade(old: Any, new: Any) -> None:
    """Write a V1 layer to ``new``, a V2 layer; most fields have the same names."""
    for field, value in old.ListFields():
        if field.name == "type":
            new.type = TYPES[LayerType(value)]
        elif field.name in PARAM_FIELDS:
            while len(new.param) < len(value):
                new.param.add()
            for spec, each in zip(new.param, value, strict=False):
                setattr(spec, PARAM_FIELDS[field.name], each)
        elif field.name == "name":
            new.name = value
        else:
            target = getattr(new, field.name)
            target.MergeFrom(value)
            if hasattr(target, "SetInParent"):
                target.SetInParent()
