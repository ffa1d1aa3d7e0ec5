"""Memory that blobs share changes no value: nets of any shape, kept whole and kept in part."""

from __future__ import annotations

import attrs
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import Net, Phase, schema
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
APART = {
    **IN_PLACE,
    "Convolution": f"convolution_param {{ num_output: 16 kernel_size: 3 pad: 1 {FILLED} }}",
    "Pooling": "pooling_param { kernel_size: 3 stride: 1 pad: 1 }",
    "LRN": "",
    "AbsVal": "",
}
JOINING = {"Eltwise": "", "Concat": ""}


@attrs.define
class Drawn:
    """A net being written: its layers, the blobs there are, and those some layer reads."""

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

    def even(self, bottom: str) -> str:
        """A blob of sixteen channels made from another."""
        top = f"b{len(self.blobs)}"
        self.add("Convolution", [bottom], top, APART["Convolution"])
        return top


@st.composite
def nets(draw: st.DrawFn) -> str:
    """Chains and joins of layers that run fast and layers that do not, in place and apart."""
    net = Drawn(
        ['layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 5 dim: 5 } } }'],
        ["data"],
        set(),
    )
    net.even("data")
    for _ in range(draw(st.integers(2, 9))):
        bottom = draw(st.sampled_from(net.blobs[1:]))
        way = draw(st.sampled_from(["in place", "apart", "join"] if bottom not in net.read else ["apart", "join"]))
        if way == "in place":
            kind = draw(st.sampled_from(sorted(IN_PLACE)))
            net.add(kind, [bottom], bottom, IN_PLACE[kind])
        elif way == "apart":
            kind = draw(st.sampled_from(sorted(APART)))
            net.add(kind, [bottom], f"b{len(net.blobs)}", APART[kind])
        else:
            kind = draw(st.sampled_from(sorted(JOINING)))
            pair = [net.even(bottom), net.even(draw(st.sampled_from(net.blobs[1:])))]
            net.add(kind, pair, f"b{len(net.blobs)}", JOINING[kind])
    for number, blob in enumerate({net.blobs[-1], draw(st.sampled_from(net.blobs[1:]))}):
        net.add("Reduction", [blob], f"loss{number}", "loss_weight: 0.1 reduction_param { operation: SUMSQ }")
    return "\n".join(net.layers)


def gradients(text: str, keep: str | list[str]) -> dict[str, list[np.ndarray]]:
    """Of three passes, the shape of the data another in the second; with what is kept after the last."""
    net = Net(schema().parse_text(text, "NetParameter"), Phase.TRAIN, engine="onednn", seed=1, keep=keep)
    found: dict[str, list[np.ndarray]] = {}
    for number, batch in enumerate((2, 3, 2)):
        if batch != net.blobs["data"].shape[0]:
            net.blobs["data"].reshape(batch, 3, 5, 5)
            net.reshape()
        net.blobs["data"].set_data(np.random.default_rng(number).standard_normal((batch, 3, 5, 5), np.float32))
        net.clear_param_diffs()
        net.run_forward()
        net.run_backward()
        found |= {f"{number} {name}": [b.host_diff().copy() for b in blobs] for name, blobs in net.params.items()}
        found |= {f"{number} {name}": [net.blobs[name].host().copy()] for name in net.outputs}
    for name in [] if isinstance(keep, str) else keep:
        found[f"kept {name}"] = [net.blobs[name].host().copy(), net.blobs[name].host_diff().copy()]
    return found


def check(text: str, kept: list[str]) -> None:
    """The same kept whole, kept nothing of, and with one blob kept."""
    whole = gradients(text, "all")
    for keep in ("outputs", kept):
        shared = gradients(text, keep)
        for name, arrays in whole.items():
            for one, two in zip(arrays, shared[name], strict=True):
                np.testing.assert_array_equal(one, two, err_msg=f"{name} of\n{text}")


@settings(max_examples=25, deadline=None)
@given(nets())
def test_sharing_memory_changes_nothing(text: str) -> None:
    check(text, ["b1"])
