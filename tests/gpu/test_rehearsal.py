"""The scripts for GPU machines run on the stand-in for CUDA, so that the first minute on a GPU is not lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from cafx.conformance import cuda

HERE = Path(__file__).parent
LIMIT = 240
RIGHT = "step/lenet/cudnn-bf16|lenet100/cudnn-tf32|resume/cupy|graphs/cudnn-float32|refusals|layer/.*/(ReLU|Filter)$"
FAST = "train/lenet/(tf32/cudnn|float32/cupy)|infer/lenet/bf16|with_data_layer/lenet/tf32"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(bool(cuda.available()), reason=cuda.available() or ""),
    pytest.mark.skipif(sys.platform != "linux", reason="GPU machines run Linux"),
]


def run(out: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    settings = {"OUT": str(out), "CAFX_GPU_CACHE": str(out / "cache"), "CAFX_GPU_REHEARSAL": "1"}
    settings |= {"PYTHON": sys.executable, "CAFX_GPU_PACK": "none", "OMP_NUM_THREADS": "1"}
    command = ["bash", str(HERE / "run.sh"), *arguments]
    return subprocess.run(
        command, env={**os.environ, **settings}, capture_output=True, text=True, timeout=LIMIT, check=False
    )


def test_right_passes_and_is_not_repeated(tmp_path: Path) -> None:
    done = run(tmp_path, "right", "--only", RIGHT)
    assert done.returncode == 0, done.stdout + done.stderr
    content = json.loads((tmp_path / "right.json").read_text())
    rows = content["rows"]
    assert content["machine"]["card"] == "stand-in"
    assert len(rows) == 5 + 2 * 4
    assert all(row["ok"] for row in rows.values())
    assert rows["layer/cudnn-bf16/ReLU"]["recorded"] == rows["layer/cudnn-bf16/ReLU"]["cases"] > 0
    assert rows["layer/cupy-float32/Filter"]["not recorded"]
    table = (tmp_path / "right.txt").read_text()
    assert "13 items, 0 failed" in table
    assert "recorded in CUDA graphs, cudnn bf16: 1 of 2 types in every case" in table
    again = run(tmp_path, "right", "--only", RIGHT)
    assert again.returncode == 0
    assert "ok " not in again.stdout
    assert json.loads((tmp_path / "right.json").read_text()) == content


def test_a_failure_is_recorded_and_the_rest_goes_on(tmp_path: Path) -> None:
    """No cuDNN engine can be imported in the workers: a module of that name is in its way."""
    (tmp_path / "cafx_engine_cudnn.py").write_text("raise RuntimeError('broken on purpose')")
    broken = os.environ.get("PYTHONPATH", "")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(filter(None, (str(tmp_path), broken))))
        done = run(tmp_path, "right", "--only", "graphs/(cupy|cudnn)-float32")
    assert done.returncode == 1
    rows = json.loads((tmp_path / "right.json").read_text())["rows"]
    assert {name: row["ok"] for name, row in rows.items()} == {
        "graphs/cupy-float32": True,
        "graphs/cudnn-float32": False,
    }
    assert "FAILED graphs/cudnn-float32" in (tmp_path / "right.txt").read_text()
    assert "broken on purpose" in rows["graphs/cudnn-float32"]["error"]


def test_without_time_items_are_left_for_later(tmp_path: Path) -> None:
    done = run(tmp_path, "right", "--only", "graphs/cupy", "--seconds", "0")
    assert done.returncode == 3
    assert "no time for 1 items" in done.stdout
    assert json.loads((tmp_path / "right.json").read_text())["rows"] == {}


def test_fast_measures(tmp_path: Path) -> None:
    done = run(tmp_path, "fast", "--only", FAST)
    assert done.returncode == 0, done.stdout + done.stderr
    rows = json.loads((tmp_path / "fast.json").read_text())["rows"]
    assert set(rows) == {
        *("train/lenet/tf32/cudnn", "train/lenet/float32/cupy"),
        *("infer/lenet/bf16/cudnn", "with_data_layer/lenet/tf32/cudnn"),
    }
    for row in rows.values():
        assert min(row["ms"], row["gpu_ms"], row["host_ms"]) > 0
    assert rows["train/lenet/tf32/cudnn"]["graphs"] == 2
    assert 0 <= rows["with_data_layer/lenet/tf32/cudnn"]["idle"] <= 1
    table = (tmp_path / "fast.txt").read_text()
    assert all(name in table for name in rows)
