"""Gradients of a whole net's loss with respect to parameters and inputs match numeric gradients."""

from __future__ import annotations

import copy
from collections.abc import Callable

import numpy as np
import pytest

from cafx.conformance.numeric import allowance, derivative
from cafx.dsl import NetSpec
from cafx.dsl import layers as dsl
from cafx.kernel import Net, Phase

SEED, POSITIONS, BATCH, CLASSES = 5, 6, 3, 4
WEIGHTS = {"weight_filler": {"type": "xavier"}, "bias_filler": {"type": "gaussian", "std": 0.1}}


def lenet() -> NetSpec:
    """Two convolutions with pooling, and two fully connected layers."""
    net = NetSpec()
    net.data, net.label = inputs(1, 14)
    net.conv1 = dsl.Convolution(net.data, num_output=3, kernel_size=3, **WEIGHTS)
    net.pool1 = dsl.Pooling(net.conv1, pool="MAX", kernel_size=2, stride=2)
    net.conv2 = dsl.Convolution(net.pool1, num_output=4, kernel_size=3, **WEIGHTS)
    net.pool2 = dsl.Pooling(net.conv2, pool="MAX", kernel_size=2, stride=2)
    net.ip1 = dsl.InnerProduct(net.pool2, num_output=6, **WEIGHTS)
    net.relu1 = dsl.ReLU(net.ip1, in_place=True)
    net.ip2 = dsl.InnerProduct(net.relu1, num_output=CLASSES, **WEIGHTS)
    net.loss = dsl.SoftmaxWithLoss(net.ip2, net.label)
    return net


def caffenet() -> NetSpec:
    """Overlapping pooling, local response normalisation, groups, dropout and in-place ReLUs."""
    net = NetSpec()
    net.data, net.label = inputs(3, 23)
    net.conv1 = dsl.Convolution(net.data, num_output=4, kernel_size=5, stride=2, **WEIGHTS)
    net.relu1 = dsl.ReLU(net.conv1, in_place=True)
    net.pool1 = dsl.Pooling(net.relu1, pool="MAX", kernel_size=3, stride=2)
    net.norm1 = dsl.LRN(net.pool1, local_size=3, alpha=0.1, beta=0.75)
    net.conv2 = dsl.Convolution(net.norm1, num_output=4, kernel_size=3, pad=1, group=2, **WEIGHTS)
    net.relu2 = dsl.ReLU(net.conv2, in_place=True)
    net.pool2 = dsl.Pooling(net.relu2, pool="MAX", kernel_size=3, stride=2)
    net.fc6 = dsl.InnerProduct(net.pool2, num_output=8, **WEIGHTS)
    net.relu6 = dsl.ReLU(net.fc6, in_place=True)
    net.drop6 = dsl.Dropout(net.relu6, dropout_ratio=0.3, in_place=True)
    net.fc7 = dsl.InnerProduct(net.drop6, num_output=CLASSES, **WEIGHTS)
    net.loss = dsl.SoftmaxWithLoss(net.fc7, net.label, loss_weight=2.0)
    return net


def inputs(channels: int, size: int) -> list[object]:
    """Images and labels."""
    return [dsl.Input(shape={"dim": [BATCH, channels, size, size]}), dsl.Input(shape={"dim": [BATCH]})]


@pytest.mark.parametrize("spec", [lenet, caffenet])
def test_gradients_match_numeric_gradients(spec: Callable[[], NetSpec]) -> None:
    definition = spec().to_proto()
    definition.force_backward = True
    net = Net(definition, Phase.TRAIN, engine="numpy", dtype=np.float64, seed=SEED)
    rng = np.random.default_rng(SEED)
    images = rng.standard_normal(net.blobs["data"].shape)
    labels = rng.integers(0, CLASSES, BATCH)
    start = copy.deepcopy(net.state())
    params = {name: [blob.host() for blob in blobs] for name, blobs in net.params.items()}

    def loss() -> float:
        net.restore(copy.deepcopy(start))  # so that dropout draws the same mask
        for name, blobs in net.params.items():
            for blob, values in zip(blobs, params[name], strict=True):
                blob.set_data(values)
        net.forward(data=images, label=labels)
        return net.loss

    loss()
    net.clear_param_diffs()
    net.run_backward()
    gradients = [("data", images, net.blobs["data"].diff.copy())]
    for name, blobs in net.params.items():
        gradients += [(name, params[name][i], blob.diff.copy()) for i, blob in enumerate(blobs)]
    checked = 0
    for name, values, gradient in gradients:
        for position in rng.permutation(values.size)[:POSITIONS]:
            estimate = derivative(loss, values.reshape(-1), position)
            analytic = float(gradient.reshape(-1)[position])
            assert estimate is None or abs(analytic - estimate) < allowance(analytic, estimate) / 10, name
            checked += estimate is not None and abs(estimate) > 1e-6
    assert checked > POSITIONS * len(gradients) / 2
