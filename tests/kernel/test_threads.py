"""One net in several threads: an error at once, no deadlock; closing it is always fine."""

from __future__ import annotations

import gc
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from cafx.kernel import TRAIN, CafxError, Net, schema

NET = """
name: "shared" force_backward: true
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "ip" type: "InnerProduct" bottom: "x" top: "ip" inner_product_param { num_output: 4 } }
layer { name: "loss" type: "Reduction" bottom: "ip" top: "loss" loss_weight: 1 }
"""
PATIENCE = 30


class Watcher:
    """Holds a pass of a net until it is told to let go."""

    def __init__(self) -> None:
        self.inside, self.go = threading.Event(), threading.Event()

    def forward(self, step: Any) -> None:
        self.inside.set()
        assert self.go.wait(PATIENCE)

    backward = forward

    def update(self) -> None:
        """Nothing."""


@pytest.fixture
def net() -> Net:
    return Net(schema().parse_text(NET, "NetParameter"), TRAIN, engine="numpy", seed=1)


def while_running(net: Net, run: Callable[[], object], meanwhile: Callable[[], object]) -> None:
    """Call ``meanwhile`` while another thread is in ``run``."""
    watcher = Watcher()
    net.observer = watcher
    thread = threading.Thread(target=run)
    thread.start()
    try:
        assert watcher.inside.wait(PATIENCE)
        meanwhile()
    finally:
        watcher.go.set()
        thread.join(PATIENCE)
        net.observer = None
    assert not thread.is_alive()


@pytest.mark.parametrize("running", ["forward", "backward", "run_forward", "run_backward"])
@pytest.mark.parametrize("second", ["forward", "backward", "run_forward", "run_backward", "reshape"])
def test_a_second_thread_is_refused_at_once(net: Net, running: str, second: str) -> None:
    def refused() -> None:
        with pytest.raises(CafxError, match="net 'shared' is in use by another thread"):
            getattr(net, second)()

    net.forward()
    while_running(net, getattr(net, running), refused)
    getattr(net, second)()  # once the first one is out


def test_what_a_refused_thread_feeds_does_not_reach_the_net(net: Net) -> None:
    def refused() -> None:
        with pytest.raises(CafxError, match="in use"):
            net.forward(x=np.full((5, 3), 7.0))

    net.forward(x=np.ones((2, 3)))
    while_running(net, net.run_forward, refused)
    np.testing.assert_array_equal(net.blobs["x"].data, np.ones((2, 3)))


def test_an_error_in_a_pass_leaves_the_net_free(net: Net) -> None:
    with pytest.raises(CafxError, match="no layer 'nowhere'"):
        net.forward(end="nowhere")
    thread_results: list[Any] = []
    thread = threading.Thread(target=lambda: thread_results.append(net.forward()))
    thread.start()
    thread.join(PATIENCE)
    assert len(thread_results) == 1


def test_a_pass_may_run_the_net_itself(net: Net) -> None:
    class Nested:
        def forward(self, step: Any) -> None:
            net.observer = None
            net.run_forward()

    net.observer = Nested()  # type: ignore[assignment]
    net.forward()
    assert net.observer is None


def test_closing_waits_for_the_pass_of_another_thread(net: Net) -> None:
    closed: list[bool] = []
    closer = threading.Thread(target=lambda: closed.append(net.close() is None))

    def close() -> None:
        closer.start()
        closer.join(0.1)
        assert closed == []

    while_running(net, net.run_forward, close)
    closer.join(PATIENCE)
    assert closed == [True]


@pytest.mark.slow
def test_a_net_may_be_closed_twice_used_afterwards_and_dropped_open(net: Net) -> None:
    net.close()
    net.close()
    assert net.forward()["loss"].shape == ()
    other = Net(schema().parse_text(NET, "NetParameter"), TRAIN, engine="numpy")
    other.forward()
    dropped = weakref.ref(other)
    del other
    gc.collect()
    assert dropped() is None
