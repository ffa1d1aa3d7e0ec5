"""Caffe's own page about each of its layer types."""

from __future__ import annotations

SITE = "https://caffe.berkeleyvision.org/tutorial/layers"
NAMES = """
    AbsVal Accuracy ArgMax BatchNorm BatchReindex Bias BNLL Clip Concat ContrastiveLoss Convolution Crop Data
    Deconvolution Dropout DummyData Eltwise ELU Embed EuclideanLoss Exp Filter Flatten HDF5Data HDF5Output HingeLoss
    Im2col ImageData InfogainLoss InnerProduct Input Log LRN LSTM LSTMUnit MemoryData MultinomialLogisticLoss MVN
    Parameter Pooling Power PReLU Python Reduction ReLU Reshape RNN Scale Sigmoid SigmoidCrossEntropyLoss Silence Slice
    Softmax SoftmaxWithLoss Split SPP TanH Threshold Tile WindowData
"""
DESCRIBED = frozenset(NAMES.split())
"""Layer types with a page of Caffe's, which is named after the type: ``docs/tutorial/layers/NAME.md`` there."""


def caffe_page(type_name: str) -> str | None:
    """The address of Caffe's page about a layer type; None if it has none.

    >>> caffe_page("ReLU").rpartition("/")[2]
    'relu.html'
    >>> caffe_page("Swish")
    """
    return f"{SITE}/{type_name.lower()}.html" if type_name in DESCRIBED else None
