"""Building blocks of the architectures; each function adds layers to a net and returns the last top."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L

LEARNED: tuple[dict[str, float], ...] = ({"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0})
Filler = dict[str, Any]


def gaussian(std: float) -> Filler:
    """A filler of normal values with this standard deviation."""
    return {"type": "gaussian", "std": std}


def constant(value: float = 0) -> Filler:
    """A filler of a constant value."""
    return {"type": "constant", "value": value}


XAVIER: Filler = {"type": "xavier"}
MSRA: Filler = {"type": "msra"}


def begin(net: NetSpec | None, name: str, image: Sequence[int], batch: int, label: Sequence[int] | None) -> NetSpec:
    """Return ``net`` or, if it is None, a new net with Input layers.

    Args:
        net: the net to build on.
        name: name of a new net.
        image: shape of an image.
        batch: images per batch.
        label: shape of the label of an image; None for no labels.
    """
    if net is not None:
        return net
    new = NetSpec(name)
    new.data = L.Input(shape={"dim": [batch, *image]})
    if label is not None:
        new.label = L.Input(shape={"dim": [batch, *label]})
    return new


def convolved(
    net: NetSpec,
    name: str,
    bottom: Any,
    outputs: int,
    kernel: int,
    *,
    relu: str = "",
    weights: Filler,
    bias: float | None = 0,
    param: Sequence[dict[str, float]] = LEARNED,
    **options: Any,
) -> Any:
    """Add a convolution and optionally an in-place ReLU.

    Args:
        net: the net.
        name: name of the convolution.
        bottom: its bottom.
        outputs: number of outputs.
        kernel: kernel size.
        relu: name of the ReLU; "" for none.
        weights: weight initialiser.
        bias: initial bias; None for no bias.
        param: learning rate and weight decay multipliers of weights and bias.
        options: further options of the convolution.
    """
    top = L.Convolution(
        bottom, num_output=outputs, kernel_size=kernel, weight_filler=weights, **_bias(bias, param), **options
    )
    return _finished(net, name, top, relu)


def batch_normalised(
    net: NetSpec,
    name: str,
    bottom: Any,
    *,
    relu: str = "",
    bn: str = "{}/bn",
    scale: str = "{}/scale",
    eps: float | None = None,
    negative_slope: float = 0,
) -> Any:
    """Add an in-place batch normalisation, a scale with bias and optionally a ReLU.

    Args:
        net: the net.
        name: what the names of the layers are formed from.
        bottom: the bottom.
        relu: name of the ReLU; "" for none.
        bn, scale: names of the layers, with {} for ``name``.
        eps: what is added to the variance; None for Caffe's default.
        negative_slope: of the ReLU.
    """
    options = {} if eps is None else {"eps": eps}
    names = bn.format(name), scale.format(name)
    net[names[0]] = L.BatchNorm(bottom, in_place=True, **options)
    net[names[1]] = L.Scale(net[names[0]], bias_term=True, in_place=True)
    if not relu:
        return net[names[1]]
    slope = {"negative_slope": negative_slope} if negative_slope else {}
    net[relu] = L.ReLU(net[names[1]], in_place=True, **slope)
    return net[relu]


def connected(
    net: NetSpec,
    name: str,
    bottom: Any,
    outputs: int,
    *,
    relu: str = "",
    weights: Filler,
    bias: float | None = 0,
    param: Sequence[dict[str, float]] = LEARNED,
    **options: Any,
) -> Any:
    """Add a fully connected layer and optionally an in-place ReLU; see `convolved`."""
    top = L.InnerProduct(bottom, num_output=outputs, weight_filler=weights, **_bias(bias, param), **options)
    return _finished(net, name, top, relu)


def pooled(net: NetSpec, name: str, bottom: Any, kernel: int, stride: int, **options: Any) -> Any:
    """Add a max pooling; ``options`` may override it."""
    net[name] = L.Pooling(bottom, **{"pool": "MAX", "kernel_size": kernel, "stride": stride, **options})
    return net[name]


def normalised(net: NetSpec, name: str, bottom: Any) -> Any:
    """Add a local response normalisation across five channels."""
    net[name] = L.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75)
    return net[name]


def dropped(net: NetSpec, name: str, bottom: Any, ratio: float = 0.5) -> Any:
    """Add an in-place dropout."""
    net[name] = L.Dropout(bottom, dropout_ratio=ratio, in_place=True)
    return net[name]


def classified(net: NetSpec, scores: Any, train: bool) -> NetSpec:
    """Add the softmax loss and, in TEST phase, accuracies; without ``train``, the probabilities. Returns the net."""
    if not train:
        net.prob = L.Softmax(scores)
        return net
    net.loss = L.SoftmaxWithLoss(scores, net.label)
    with net.phase("TEST"):
        net.accuracy = L.Accuracy(scores, net.label)
        net.accuracy_top5 = L.Accuracy(scores, net.label, top_k=5)
    return net


def _bias(value: float | None, param: Sequence[dict[str, float]]) -> dict[str, Any]:
    if value is None:
        return {"bias_term": False, "param": list(param[:1])}
    return {"bias_filler": constant(value), "param": list(param)}


def _finished(net: NetSpec, name: str, top: Any, relu: str) -> Any:
    net[name] = top
    if not relu:
        return top
    net[relu] = L.ReLU(top, in_place=True)
    return net[relu]
