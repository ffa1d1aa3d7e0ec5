"""Concatenations of one image: bottoms computed in the top's memory, where nobody can see the difference."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from cafx.kernel import TEST, TRAIN, Net, schema
from cafx_engine_onednn import OneDNN

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")
TOLERANCE = 1e-5


def convolution(name: str, bottom: str, channels: int, size: int = 1, relu: bool = False) -> str:
    """A convolution that keeps the image's size."""
    text = f"""layer {{ name: "{name}" type: "Convolution" bottom: "{bottom}" top: "{name}" convolution_param {{
        num_output: {channels} kernel_size: {size} pad: {size // 2} weight_filler {{ type: "msra" }}
        bias_filler {{ type: "uniform" min: -1 max: 1 }} }} }}"""
    return text + (f'layer {{ name: "r{name}" type: "ReLU" bottom: "{name}" top: "{name}" }}' if relu else "")


def concat(name: str, *bottoms: str, axis: int = 1) -> str:
    """A concatenation."""
    names = " ".join(f'bottom: "{each}"' for each in bottoms)
    return f'layer {{ name: "{name}" type: "Concat" {names} top: "{name}" concat_param {{ axis: {axis} }} }}'


STEM = convolution("s", "data", 32, 3)
FIRE = STEM + convolution("a", "s", 16, 1, relu=True) + convolution("b", "s", 32, 3, relu=True) + concat("t", "a", "b")
LAST = convolution("out", "t", 16, 3)
POOL = 'layer { name: "p" type: "Pooling" bottom: "s" top: "p" pooling_param { kernel_size: 3 stride: 1 pad: 1 } }'
IN_PLACE = 'layer { name: "f" type: "TanH" bottom: "t" top: "t" }'
ELTWISE = 'layer { name: "e" type: "Eltwise" bottom: "out" bottom: "a" top: "e" }'
NETS = {
    "fire": (FIRE + LAST, 1),
    "pooled": (STEM + POOL + convolution("a", "s", 48) + concat("t", "p", "a") + LAST, 1),
    "changed in place": (FIRE + IN_PLACE + LAST, 1),
    "nested": (FIRE + convolution("c", "t", 16) + concat("u", "t", "c") + convolution("o", "u", 16), 2),
    "left in parts": (FIRE + convolution("c", "s", 16) + concat("u", "t", "c") + convolution("o", "u", 16), 1),
    "a top": (FIRE, 0),
    "read later": (FIRE + LAST + ELTWISE, 0),
    "one twice": (STEM + convolution("a", "s", 16) + concat("t", "a", "a") + LAST, 0),
    "two of one": (FIRE + concat("u", "b", "a") + convolution("o", "u", 16) + LAST, 1),
    "uneven": (STEM + convolution("a", "s", 24) + convolution("b", "s", 8, 3) + concat("t", "a", "b") + LAST, 0),
    "rows": (STEM + convolution("a", "s", 16) + convolution("b", "s", 16) + concat("t", "a", "b", axis=2) + LAST, 0),
}


def made(body: str, engine: str, phase: Any = TEST, batch: int = 1, **settings: Any) -> Net:
    """A net over an image."""
    text = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: N dim: 3 dim: 12 dim: 10 } } }'
    message = schema().parse_text(text.replace("N", str(batch)) + body, "NetParameter")
    return Net(message, phase, engine=engine, seed=1, **settings)


def in_place(net: Net) -> int:
    """How many concatenations copy nothing, as the net has run."""
    routines = [routine for step in net.program.steps for routine in step.routines]
    found: list[Any] = [routine for routine in routines if getattr(routine, "slices", None) is not None]
    return sum(each._passes[False]._calls[0].in_place() for each in found)


def outputs(net: Net, seed: int) -> dict[str, Any]:
    """What a net computes."""
    shape = net.blobs["data"].shape
    found = net.forward(data=np.random.default_rng(seed).standard_normal(shape, np.float32))
    return {name: values.copy() for name, values in found.items()}


def assert_same(found: dict[str, Any], expected: dict[str, Any]) -> None:
    assert found.keys() == expected.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, rtol=0, atol=TOLERANCE * np.abs(values).max())


@pytest.mark.parametrize("name", NETS)
def test_results_are_numpy_s_in_every_pass(name: str) -> None:
    body, count = NETS[name]
    with made(body, "onednn", keep="outputs") as net, made(body, "numpy") as reference:
        for seed in range(4):
            assert_same(outputs(net, seed), outputs(reference, seed))
            assert in_place(net) == count


@pytest.mark.parametrize("settings", [{"keep": "all"}, {"phase": TRAIN}, {"batch": 2}, {"keep": ["a", "out"]}])
def test_where_a_bottom_is_wanted_or_there_are_several_images_it_is_copied(settings: dict[str, Any]) -> None:
    body, shape = FIRE + LAST, {"batch": settings.get("batch", 1)}
    with made(body, "onednn", **{"keep": "outputs", **settings}) as net, made(body, "numpy", **shape) as reference:
        for seed in range(3):
            assert_same(outputs(net, seed), outputs(reference, seed))
            assert in_place(net) == 0
            if settings.get("keep"):
                assert_same({"a": net.blobs["a"].host()}, {"a": reference.blobs["a"].host()})


def test_ranges_of_layers_give_the_same() -> None:
    body = FIRE + LAST
    with made(body, "onednn", keep="outputs") as net, made(body, "numpy") as reference:
        for seed in range(3):
            image = np.random.default_rng(seed).standard_normal(net.blobs["data"].shape, np.float32)
            for each in (net, reference):
                each.forward(data=image, end="rb")
                each.blobs["a"].set_data(np.full(each.blobs["a"].shape, seed))
                each.run_forward("t", None)
            assert_same({"out": net.blobs["out"].host()}, {"out": reference.blobs["out"].host()})
            assert_same(outputs(net, seed + 9), outputs(reference, seed + 9))


def test_memory_is_saved() -> None:
    with made(FIRE + LAST, "onednn", keep="outputs") as net:
        found = {buffer.storage: buffer for buffer in net.program.memory.buffers if buffer.shared}
        a, b, t = (found[net.blobs[name].synced_data] for name in "abt")
        assert (a.offset, b.offset) == (t.offset, t.offset + a.nbytes)
        assert t.nbytes == a.nbytes + b.nbytes
        assert net.program.memory.pool < sum(found[net.blobs[name].synced_data].nbytes for name in "sabt")
