"""What can go wrong with a GPU is told in one line, with the remedy."""

import pytest

from cafx.conformance import cuda as standin
from cafx.kernel import CafxError, Net, Phase, registry, schema
from cafx.kernel.net import make_engine as by_name
from cafx_engine_cupy import CuPy, driver

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: BATCH dim: 1000 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "y" inner_product_param { num_output: 1000 } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "z" }
"""


def net(batch, engine):
    return Net(schema().parse_text(NET.replace("BATCH", str(batch)), "NetParameter"), Phase.TRAIN, engine=engine)


@pytest.mark.parametrize(
    ("found", "message"),
    [
        (None, "no NVIDIA driver is installed"),
        (driver.Driver((13, 0), 0), "shows no GPU"),
        (driver.Driver((12, 4), 1), r"supports CUDA 12\.4, and 13\.0 is needed: update the driver"),
    ],
)
def test_a_driver_that_is_missing_or_too_old(found, message, monkeypatch):
    monkeypatch.setattr(driver, "find_driver", lambda: found)
    with pytest.raises(CafxError, match=message):
        by_name("cupy", registry())


def test_a_driver_without_cupy(monkeypatch):
    monkeypatch.setattr(driver, "find_driver", lambda: driver.Driver((13, 0), 1))
    if driver.importlib.util.find_spec("cupy") is not None:
        pytest.skip("CuPy is installed")
    with pytest.raises(CafxError, match=r"module 'cupy' is missing: .*cupy\S*\[cuda\]"):
        by_name("cupy", registry())


@pytest.mark.parametrize("index", [1, -1, 7])
def test_an_index_without_a_gpu(index, cuda):
    with pytest.raises(CafxError, match=r"no such GPU.*0, the only one.*cafx device"):
        by_name("cupy", registry(), device=index)


def test_a_precision_it_does_not_have(cuda):
    with pytest.raises(CafxError, match=r"no such precision.*float32 or tf32"):
        by_name("cupy", registry(), precision="bf16")


@pytest.mark.slow
def test_a_net_that_does_not_fit_is_told_what_would():
    with standin.installed(memory=200 << 20):
        large = net(20_000, CuPy(registry()))
        with pytest.raises(CafxError, match=r"memory is too small.*a batch of \d+ would fit") as told:
            large.run_forward()
    fitting = int(str(told.value).split("a batch of ")[1].split()[0])
    assert 1000 < fitting < 20_000
    with standin.installed(memory=200 << 20):
        net(fitting // 2, CuPy(registry())).run_forward()


def test_what_cafx_device_shows(cuda):
    (shown,) = CuPy.devices()
    assert shown.index == 0
    assert shown.memory == 2 << 30
    assert set(shown.details) == {"compute capability", "driver", "CUDA", "CuPy"}
