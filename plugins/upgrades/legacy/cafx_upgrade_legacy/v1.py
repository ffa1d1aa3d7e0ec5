"""V1 to V2: types become names, parallel lists about parameters become one message a parameter."""

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
    """Where data layers state how to transform images among their own options, move that out."""
    layers = [layer for layer in proto.layers if hasattr(layer, TRANSFORMED.get(layer.type, ""))]
    pairs = [(layer, getattr(layer, TRANSFORMED[layer.type])) for layer in layers]
    if not any(options.HasField(name) for _, options in pairs for name in TRANSFORMATIONS):
        return
    for layer, options in pairs:
        # Caffe leaves both messages behind, empty or not, once any layer of the net has such a field
        options.SetInParent()
        layer.transform_param.SetInParent()
        for name in TRANSFORMATIONS:
            if options.HasField(name):
                setattr(layer.transform_param, name, getattr(options, name))
                options.ClearField(name)


def upgrade_layers(proto: Any, source: str) -> None:
    """Bring every V1 layer of a NetParameter to V2."""
    if proto.layer:
        raise CafxError(
            "mixes layers of the old and the new form", where=source, found="both 'layers' and 'layer'",
            remedy="write all of them as 'layer'",
        )  # fmt: skip
    for old in proto.layers:
        _upgrade(old, proto.layer.add())
    del proto.layers[:]


def _upgrade(old: Any, new: Any) -> None:
    """Write one layer in V2's form into ``new``; all but a few fields keep their names."""
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
            held = getattr(new, field.name)
            held.MergeFrom(value)
            if hasattr(held, "SetInParent"):
                held.SetInParent()
