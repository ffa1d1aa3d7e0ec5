"""Nets with a layer that changes shapes in the middle of a pass: what ran before must outlast that.

>>> difference(BEFORE["pooling"], "numpy", tolerance=0) is None
True
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import TRAIN, Engine, Net, Registry, registry, schema

ITEMS = 6
SELECTED = (6, 3, 3, 5, 3, 6, 2, 5)
"""Items that a Filter selects in each pass; some numbers occur again, so that their programs are at hand."""
FILLED = 'weight_filler { type: "msra" } bias_filler { type: "uniform" min: -0.1 max: 0.1 }'
"""Fillers of weights and biases."""
FILTERED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 6 dim: 3 dim: 8 dim: 8 } } }
layer { name: "which" type: "Input" top: "which" input_param { shape { dim: 6 dim: 1 dim: 1 dim: 1 } } }
layer { name: "label" type: "Input" top: "label" input_param { shape { dim: 6 } } }
layer { name: "c" type: "Convolution" bottom: "data" top: "c"
        convolution_param { num_output: 16 kernel_size: 3 pad: 1 FILLED } }
BEFORE
layer { name: "some" type: "Filter" bottom: "b" bottom: "which" top: "some" }
layer { name: "ip" type: "InnerProduct" bottom: "some" top: "ip" inner_product_param { num_output: 4 FILLED } }
layer { name: "sum" type: "Reduction" bottom: "ip" top: "sum" loss_weight: 0.1
        reduction_param { operation: SUMSQ } }"""
POOLING = 'type: "Pooling" bottom: "c" top: "b" pooling_param { kernel_size: 2 stride: 2 }'
BEFORE = {
    "pooling": f'layer {{ name: "p" {POOLING} }}',
    "normalisation": 'layer { name: "bn" type: "BatchNorm" bottom: "c" top: "b" }',
    "in place": f"""
        layer {{ name: "bn" type: "BatchNorm" bottom: "c" top: "c" }}
        layer {{ name: "s" type: "Scale" bottom: "c" top: "c" scale_param {{ bias_term: true }} }}
        layer {{ name: "r" type: "ReLU" bottom: "c" top: "c" }}
        layer {{ name: "p" {POOLING} }}""",
    "several": """
        layer { name: "r" type: "ReLU" bottom: "c" top: "c" }
        layer { name: "n" type: "LRN" bottom: "c" top: "n" }
        layer { name: "m" type: "Pooling" bottom: "n" top: "m" pooling_param { kernel_size: 3 stride: 1 } }
        layer { name: "t" type: "TanH" bottom: "m" top: "b" }""",
    "activations": """
        layer { name: "e" type: "ELU" bottom: "c" top: "c" }
        layer { name: "pr" type: "PReLU" bottom: "c" top: "c" }
        layer { name: "t" type: "TanH" bottom: "c" top: "b" }""",
    "loss": """
        layer { name: "f" type: "InnerProduct" bottom: "c" top: "b" inner_product_param { num_output: 4 FILLED } }
        layer { name: "l" type: "SoftmaxWithLoss" bottom: "b" bottom: "label" top: "l" }""",
}
"""Layers before the one whose top's shape changes, from blob ``c`` to blob ``b``."""


def gradients(
    before: str, engine: Engine | str, plugins: Registry | None = None
) -> Iterator[dict[str, npt.NDArray[Any]]]:
    """All parameters' gradients after each of some passes, which select other numbers of items.

    Args:
        before: layers from blob ``c`` to blob ``b``, as prototxt; they may read ``label``, too.
        engine: the engine, or its name.
        plugins: where layers are found.
    """
    plugins = plugins or registry()
    text = FILTERED.replace("BEFORE", before).replace("FILLED", FILLED)
    message, rng = schema(plugins).parse_text(text, "NetParameter"), np.random.default_rng(0)
    with Net(message, TRAIN, engine=engine, seed=1, plugins=plugins) as net:
        for count in SELECTED:
            which = np.zeros((ITEMS, 1, 1, 1))
            which[rng.permutation(ITEMS)[:count]] = 1
            values = {"data": rng.standard_normal((ITEMS, 3, 8, 8)), "which": which, "label": rng.integers(0, 4, ITEMS)}
            for name, array in values.items():
                net.blobs[name].set_data(array)
            net.clear_param_diffs()
            net.run_forward()
            net.run_backward()
            yield {
                f"{layer}.{i}": blob.host_diff() for layer, blobs in net.params.items() for i, blob in enumerate(blobs)
            }


def difference(before: str, engine: Engine | str, plugins: Registry | None = None, *, tolerance: float) -> str | None:
    """The first gradient that is not the numpy engine's, and in which pass; None where all are.

    Args:
        before, engine, plugins: as for `gradients`.
        tolerance: relative to the largest value of all gradients.
    """
    results = (gradients(before, each, plugins) for each in (engine, "numpy"))
    for number, (found, expected) in enumerate(zip(*results, strict=True), 1):
        allowed = tolerance * max(np.abs(each).max() for each in expected.values())
        for name, values in expected.items():
            if not np.allclose(found[name], values, rtol=0, atol=allowed):
                return f"the gradient of {name} in pass {number}"
    return None
