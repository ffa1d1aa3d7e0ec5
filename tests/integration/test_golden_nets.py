"""Published architectures match Caffe: outputs, loss, the sum and norm of every blob, and gradients."""

from __future__ import annotations

import zlib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from cafx.conformance.golden import differs
from cafx.kernel import Net, Phase
from cafx.kernel.net import learnable

OUTPUT_TOLERANCE = 1e-4
SUM_TOLERANCE = 1e-3
GRADIENT_TOLERANCE = 1e-3
TOLERANCE_FLOOR = 1e-5
SAMPLE_STEP = 997
Array = npt.NDArray[Any]


@pytest.mark.shared_files("golden/nets/*.npz", slow="caffenet|googlenet")
def test_a_published_net_matches_caffe(shared_file: Path, require_plugins: Callable[[Path], None]) -> None:
    prototxt = shared_file.with_suffix(".prototxt")
    require_plugins(prototxt)
    with np.load(shared_file) as file:
        values = dict(file)
    net = Net(prototxt, Phase[str(values["meta/phase"])], engine="numpy")
    fill_parameters(net)
    wrong = list(parameter_problems(net, values))
    wrong += forward_problems(net, values, shared_file.stem)
    wrong += backward_problems(net, values)
    assert not wrong


def drawn(key: str, index: int, shape: tuple[int, ...]) -> Array:
    """Standard normal values, drawn in the same way as the reference's."""
    rng = np.random.default_rng(zlib.crc32(key.encode()) + index)
    return rng.standard_normal(shape).astype(np.float32)


def parameter_values(name: str, kind: str, index: int, shape: tuple[int, ...]) -> Array:
    """A parameter's values by the rule in the README of the data."""
    x, single = drawn(name, index, shape), np.float32
    if kind == "BatchNorm":
        return (x * single(0.05), single(1) + single(0.1) * np.abs(x), np.ones(shape, single))[index]
    if kind == "Scale":
        return single(1) + single(0.1) * x if index == 0 else x * single(0.05)
    if kind == "PReLU":
        return single(0.25) + single(0.02) * x
    if len(shape) <= 1:
        return x * single(0.05)
    return x * single(0.5 if kind == "Embed" else np.sqrt(2 / np.prod(shape[1:])))


def fill_parameters(net: Net) -> None:
    """Fill each parameter once; a shared one by the layer that owns it."""
    for parameter in learnable(net.parameters):
        layer, blob = net.layers[parameter.layer], parameter.blob
        blob.set_data(parameter_values(layer.name, layer.type, parameter.position, blob.shape))


def parameter_problems(net: Net, values: Mapping[str, Array]) -> Iterator[str]:
    """Parameters that differ from the reference's."""
    for key, expected in tree(values, "paramcheck/"):
        yield from problems(f"paramcheck/{key}", statistics(parameter(net, key).host()), expected, SUM_TOLERANCE)


def forward_problems(net: Net, values: Mapping[str, Array], name: str) -> Iterator[str]:
    """Feed the inputs, run a forward pass and compare; blobs are reported in order."""
    stored = dict(tree(values, "in/"))
    inputs = {
        blob: stored[blob] if blob in stored else drawn(f"input:{name}:{blob}", 0, net.blobs[blob].shape)
        for blob in net.inputs
    }
    outputs = net.forward(**inputs)
    for blob, expected in tree(values, "blobstat/"):
        result = statistics(net.blobs[blob].host())
        allowed = SUM_TOLERANCE * float(expected[1]) + TOLERANCE_FLOOR
        if np.abs(result - expected).max() > allowed:
            yield f"blob {blob}: sum and norm {result} instead of {expected}"
    for blob, expected in tree(values, "out/"):
        yield from problems(f"output {blob}", outputs.get(blob), expected, OUTPUT_TOLERANCE)
    yield from problems("loss", np.asarray(net.loss), values["meta/loss"].reshape(()), OUTPUT_TOLERANCE)


def backward_problems(net: Net, values: Mapping[str, Array]) -> Iterator[str]:
    """Run a backward pass from the stored gradients and compare."""
    net.clear_param_diffs()
    gradients = net.backward(**dict(tree(values, "topdiff/")))
    for blob, expected in tree(values, "indiff/"):
        yield from problems(f"gradient of {blob}", gradients[blob], expected, GRADIENT_TOLERANCE)
    for blob, expected in tree(values, "indiffsample/"):
        sample = gradients[blob].reshape(-1)[::SAMPLE_STEP]
        yield from problems(f"gradient of {blob}", sample, expected, GRADIENT_TOLERANCE)
    for key, expected in tree(values, "paramdiff/"):
        yield from problems(f"gradient of {key}", parameter(net, key).host_diff(), expected, GRADIENT_TOLERANCE)
    for key, expected in tree(values, "paramdiffstat/"):
        result = statistics(parameter(net, key).host_diff())
        yield from problems(f"gradient of {key}", result, expected, GRADIENT_TOLERANCE)


def tree(values: Mapping[str, Array], prefix: str) -> Iterator[tuple[str, Array]]:
    """The stored values whose keys start with ``prefix``, by the rest of the key."""
    return ((key.removeprefix(prefix), value) for key, value in values.items() if key.startswith(prefix))


def parameter(net: Net, key: str) -> Any:
    """The parameter blob ``layer/index``."""
    layer, index = key.rsplit("/", 1)
    return net.params[layer][int(index)]


def statistics(array: Array) -> Array:
    """Sum and norm, computed in float64 like the reference's."""
    wide = array.astype(np.float64)
    return np.array([wide.sum(), np.sqrt((wide * wide).sum())])


def problems(what: str, result: Any, expected: Array, tolerance: float) -> Iterator[str]:
    """A line if two arrays differ."""
    difference = differs(result, expected, tolerance, TOLERANCE_FLOOR)
    if difference:
        yield f"{what}: {difference}"
