"""OpenMP's threads: how many, and how long they wait actively."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from cafx.kernel import Net, Phase, schema
from cafx_engine_onednn import OneDNN
from cafx_engine_onednn.api.library import SPINS
from cafx_engine_onednn.threads import get_threads

pytestmark = pytest.mark.skipif(OneDNN.unavailable() is not None, reason="no oneDNN here")

LOADED = "import os; from cafx_engine_onednn.api.library import load; load(); print(os.environ.get('GOMP_SPINCOUNT'))"
NET = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 8 dim: 8 } } }
layer { name: "conv" type: "Convolution" bottom: "data" top: "conv"
  convolution_param { num_output: 16 kernel_size: 3 weight_filler { type: "xavier" } } }
"""


def loaded(**settings: str) -> tuple[str, str]:
    """What a process prints that loads the library: its environment, and OpenMP's settings."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("GOMP", "OMP_WAIT"))}
    environment |= {"OMP_DISPLAY_ENV": "verbose", **settings}
    done = subprocess.run([sys.executable, "-c", LOADED], env=environment, capture_output=True, text=True, check=True)
    return done.stdout.strip(), done.stderr


@pytest.mark.slow
def test_waiting_threads_sleep_after_a_while_and_the_environment_stays_clean() -> None:
    environment, settings = loaded()
    assert f"GOMP_SPINCOUNT = '{SPINS}'" in settings
    assert environment == "None"


@pytest.mark.slow
def test_the_user_s_own_setting_is_kept() -> None:
    environment, settings = loaded(GOMP_SPINCOUNT="77")
    assert "GOMP_SPINCOUNT = '77'" in settings
    assert environment == "77"
    assert f"GOMP_SPINCOUNT = '{SPINS}'" not in loaded(OMP_WAIT_POLICY="active")[1]


def test_engines_of_different_thread_counts_take_turns_in_one_thread() -> None:
    nets = [
        Net(schema().parse_text(NET, "NetParameter"), Phase.TRAIN, engine="onednn", threads=threads, seed=1)
        for threads in (1, 3)
    ]
    for _ in range(2):
        for net, threads in zip(nets, (1, 3), strict=True):
            net.run_forward()
            assert get_threads() == threads
    assert [net.blobs["conv"].host().sum() for net in nets] == [0, 0]
