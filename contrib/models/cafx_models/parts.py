"""What the architectures are put together from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from cafx.dsl import NetSpec
from cafx.dsl import layers as L

LEARNED: tuple[dict[str, float], ...] = ({"lr_mult": 1, "decay_mult": 1}, {"lr_mult": 2, "decay_mult": 0})
Filler = dict[str, Any]


def gaussian(std: float) -> Filler:
    """Normal values of this standard deviation."""
    return {"type": "gaussian", "std": std}


def constant(value: float = 0) -> Filler:
    """One value everywhere."""
    return {"type": "constant", "value": value}


XAVIER: Filler = {"type": "xavier"}
MSRA: Filler = {"type": "msra"}


def begin(net: NetSpec | None, name: str, image: Sequence[int], batch: int, label: Sequence[int] | None) -> NetSpec:
    """``net`` as it is or, without one, a new one with an Input layer for data and, if wanted, label.

    Args:
        net: what to build on.
        name: of a new net.
        image: the shape of one image.
        batch: how many there are.
        label: the shape of one image's label; None for a net that is not trained.
    """
    if net is not None:
        return net
    made = NetSpec(name)
    made.data = L.Input(shape={"dim": [batch, *image]})
    if label is not None:
        made.label = L.Input(shape={"dim": [batch, *label]})
    return made


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
    """A convolution called ``name``, then a ReLU in place called ``relu``; the top of the last.

    Args:
        net: gets the layers.
        name, bottom, outputs, kernel: of the convolution.
        relu: name of the ReLU; "" for none.
        weights: how the weights begin.
        bias: at what value the bias begins; None for no bias.
        param: multipliers of weights and bias.
        options: further options of the convolution.
    """
    top = L.Convolution(
        bottom, num_output=outputs, kernel_size=kernel, weight_filler=weights, **_bias(bias, param), **options
    )
    return _finished(net, name, top, relu)


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
    """The same for an inner product."""
    top = L.InnerProduct(bottom, num_output=outputs, weight_filler=weights, **_bias(bias, param), **options)
    return _finished(net, name, top, relu)


def pooled(net: NetSpec, name: str, bottom: Any, kernel: int, stride: int, **options: Any) -> Any:
    """The largest of each window, unless ``options`` say otherwise."""
    net[name] = L.Pooling(bottom, **{"pool": "MAX", "kernel_size": kernel, "stride": stride, **options})
    return net[name]


def normalised(net: NetSpec, name: str, bottom: Any) -> Any:
    """Local response normalisation across five channels."""
    net[name] = L.LRN(bottom, local_size=5, alpha=0.0001, beta=0.75)
    return net[name]


def dropped(net: NetSpec, name: str, bottom: Any, ratio: float = 0.5) -> Any:
    """Dropout in place."""
    net[name] = L.Dropout(bottom, dropout_ratio=ratio, in_place=True)
    return net[name]


def classified(net: NetSpec, scores: Any, train: bool) -> NetSpec:
    """The end of a classifier: the loss and, in TEST phase, accuracies; or the probabilities."""
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
