"""Buffer sharing changes no value, whatever the net and whichever blobs are kept."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cafx.conformance.nets import feed, net_of_text, param_gradients, run_passes
from cafx.kernel import Net, Phase
from cafx.kernel.net import Step
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

FILLED = 'weight_filler { type: "msra" } bias_filler { type: "constant" value: 0.1 }'
IN_PLACE = {
    "ReLU": "",
    "PReLU": "",
    "Dropout": "",
    "BatchNorm": "",
    "Scale": "scale_param { bias_term: true }",
    "Power": "power_param { scale: 0.5 shift: 0.1 }",
}
SEPARATE = {
    **IN_PLACE,
    "Convolution": f"convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 {FILLED} }}",
    "Pooling": "pooling_param { kernel_size: 3 stride: 1 pad: 1 }",
    "LRN": "",
    "AbsVal": "",
}
JOINING = {"Eltwise": "", "Concat": ""}


@attrs.define
class Draft:
    """A net being drawn: its layers, its blobs, and the blobs that some layer reads."""

    layers: list[str]
    blobs: list[str]
    read: set[str]

    def add(self, kind: str, bottoms: list[str], top: str, options: str = "") -> None:
        read = " ".join(f'bottom: "{bottom}"' for bottom in bottoms)
        name = f"layer{len(self.layers)}"
        self.layers.append(f'layer {{ name: "{name}" type: "{kind}" {read} top: "{top}" {options} }}')
        if top not in self.blobs:
            self.blobs.append(top)
            self.read.update(bottoms)

    def sixteen_channels(self, bottom: str) -> str:
        """Add a convolution that turns a blob into one of sixteen channels."""
        top = f"b{len(self.blobs)}"
        self.add("Convolution", [bottom], top, SEPARATE["Convolution"])
        return top


@st.composite
def nets(draw: st.DrawFn) -> str:
    """Chains and joins of layers with and without routines, in place and not."""
    net = Draft(
        ['layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }'],
        ["data"],
        set(),
    )
    net.sixteen_channels("data")
    for _ in range(draw(st.integers(2, 9))):
        bottom = draw(st.sampled_from(net.blobs[1:]))
        choices = ["separate", "join", "block"] + ["in place"] * (bottom not in net.read)
        choice = draw(st.sampled_from(choices))
        if choice == "in place":
            kind = draw(st.sampled_from(sorted(IN_PLACE)))
            net.add(kind, [bottom], bottom, IN_PLACE[kind])
        elif choice == "separate":
            kind = draw(st.sampled_from(sorted(SEPARATE)))
            net.add(kind, [bottom], f"b{len(net.blobs)}", SEPARATE[kind])
        elif choice == "block":
            side, body = net.sixteen_channels(draw(st.sampled_from(net.blobs[1:]))), net.sixteen_channels(bottom)
            for kind in ("BatchNorm", *draw(st.sampled_from([(), ("Scale",), ("Scale", "ReLU")]))):
                net.add(kind, [body], body, IN_PLACE[kind])
            top = f"b{len(net.blobs)}"
            net.add("Eltwise", draw(st.permutations([side, body])), top)
            for kind in draw(st.sampled_from([(), ("ReLU",), ("ReLU", "Dropout")])):
                net.add(kind, [top], top)
        else:
            kind = draw(st.sampled_from(sorted(JOINING)))
            pair = [net.sixteen_channels(bottom), net.sixteen_channels(draw(st.sampled_from(net.blobs[1:])))]
            net.add(kind, pair, f"b{len(net.blobs)}", JOINING[kind])
    for number, blob in enumerate({net.blobs[-1], draw(st.sampled_from(net.blobs[1:]))}):
        net.add("Reduction", [blob], f"loss{number}", "loss_weight: 0.1 reduction_param { operation: SUMSQ }")
    return "\n".join(net.layers)


def results_of(text: str, keep: str | list[str]) -> dict[str, list[np.ndarray]]:
    """Gradients and outputs of three passes, the second with another batch size, and the kept blobs after the last."""
    net = net_of_text(text, engine="onednn", seed=1, keep=keep)
    results: dict[str, list[np.ndarray]] = {}
    for number, batch in enumerate((2, 3, 2)):
        if batch != net.blobs["data"].shape[0]:
            net.blobs["data"].reshape(batch, 3, 5, 5)
            net.reshape()
        feed(net, seed=number)
        run_passes(net)
        results |= {f"{number} {name}": [gradient] for name, gradient in param_gradients(net).items()}
        results |= {f"{number} {name}": [net.blobs[name].host()] for name in net.outputs}
    for name in [] if isinstance(keep, str) else keep:
        results[f"kept {name}"] = [net.blobs[name].host(), net.blobs[name].host_diff()]
    return results


NORMALISED = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "b1"
  convolution_param { num_output: 16 kernel_size: 3 pad: 1 weight_filler { type: "msra" } } }
layer { name: "norm" type: "BatchNorm" bottom: "b1" top: "b1" }
layer { name: "plain" type: "PLAIN" bottom: "b1" top: "b1" }
layer { name: "relu" type: "ACCELERATED" bottom: "b1" top: "b1" }
layer { name: "loss" type: "Reduction" bottom: "b1" top: "loss" loss_weight: 0.1 reduction_param { operation: SUMSQ } }
"""


@pytest.mark.slow
@pytest.mark.parametrize("plain", ["Dropout", "BNLL", "Swish"])
@pytest.mark.parametrize("accelerated", ["ReLU", "Scale", "BatchNorm"])
def test_what_follows_a_normalisation_in_place_is_written_where_it_left_its_result(
    plain: str, accelerated: str
) -> None:
    text = NORMALISED.replace("PLAIN", plain).replace("ACCELERATED", accelerated)
    unshared, shared = results_of(text, "all"), results_of(text, "outputs")
    for name, arrays in unshared.items():
        np.testing.assert_array_equal(shared[name], arrays, err_msg=name)


@pytest.mark.parametrize("count", [3, pytest.param(25, marks=pytest.mark.slow)])
def test_buffer_sharing_changes_nothing(count: int) -> None:
    @settings(max_examples=count, deadline=None)
    @given(nets())
    def check(text: str) -> None:
        unshared = results_of(text, "all")
        for keep in ("outputs", ["b1"]):
            shared = results_of(text, keep)
            for name, arrays in unshared.items():
                for expected, array in zip(arrays, shared[name], strict=True):
                    np.testing.assert_array_equal(array, expected, err_msg=f"{name} of\n{text}")

    check()


SIXTEEN = SEPARATE["Convolution"]
CONVERTED = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 5 dim: 5 }} }} }}
layer {{ name: "b1" type: "Convolution" bottom: "data" top: "b1" {SIXTEEN} }}
layer {{ name: "b2" type: "AbsVal" bottom: "b1" top: "b2" }}
layer {{ name: "plain" type: "Dropout" bottom: "b1" top: "b3" }}
layer {{ name: "b4" type: "Convolution" bottom: "b2" top: "b4" {SIXTEEN} }}
layer {{ name: "b5" type: "Convolution" bottom: "b3" top: "b5" {SIXTEEN} }}
layer {{ name: "b6" type: "Concat" bottom: "b4" bottom: "b5" top: "b6" }}
layer {{ name: "loss0" type: "Reduction" bottom: "b6" top: "loss0" reduction_param {{ operation: SUMSQ }} }}
layer {{ name: "loss1" type: "Reduction" bottom: "b1" top: "loss1" reduction_param {{ operation: SUMSQ }} }}
"""
"""What a layer as written has made is converted to memory that another blob has until then."""

REFUSED = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 3 dim: 5 dim: 5 }} }} }}
layer {{ name: "b1" type: "Convolution" bottom: "data" top: "b1" {SIXTEEN} }}
layer {{ name: "shared" type: "Dropout" bottom: "b1" top: "b2" }}
layer {{ name: "b3" type: "AbsVal" bottom: "b1" top: "b3" }}
layer {{ name: "b4" type: "AbsVal" bottom: "b2" top: "b4" }}
layer {{ name: "b5" type: "Convolution" bottom: "b4" top: "b5" {SIXTEEN} }}
"""
"""A step cannot be joined after part of it has been written down: nothing of that may be left."""


class Nobody:
    """Watches a pass, which runs step by step then."""

    def forward(self, step: Step) -> None:
        """A step has run."""


def inference(text: str) -> Net:
    """The net in TEST phase, with statistics to normalise by."""
    net = net_of_text(text, Phase.TEST, engine="onednn", seed=1, keep="outputs")
    rng = np.random.default_rng(0)
    for blobs in net.params.values():
        for blob, value in zip(blobs if len(blobs) == 3 else (), (0, 1, 1), strict=False):
            blob.set_data(value + 0.1 * rng.random(blob.shape))
    return net


@pytest.mark.parametrize("count", [5, pytest.param(60, marks=pytest.mark.slow)])
def test_inference_in_few_calls_changes_nothing(count: int) -> None:
    @settings(max_examples=count, deadline=None)
    @given(nets())
    @example(CONVERTED)
    @example(REFUSED)
    def check(text: str) -> None:
        joined, stepwise = inference(text), inference(text)
        stepwise.observer = Nobody()
        for number, batch in enumerate((2, 2, 2, 1, 1, 1, 1, 3, 2)):
            for net in (joined, stepwise):
                net.blobs["data"].reshape(batch, 3, 5, 5)
                feed(net, seed=number)
                net.run_forward()
            for name in stepwise.outputs:
                found, expected = (net.blobs[name].host() for net in (joined, stepwise))
                np.testing.assert_array_equal(found, expected, err_msg=f"{name}, pass {number} of\n{text}")

    check()
