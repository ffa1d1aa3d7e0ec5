"""The engines under test, one of each kind per process."""

from __future__ import annotations

import functools
import os
from typing import Any

from cafx.kernel import Engine, registry

GPU_ENGINES = (("cupy", "float32"), ("cudnn", "float32"), ("cudnn", "tf32"), ("cudnn", "bf16"))
DETERMINISTIC = "CAFX_DETERMINISTIC"


@functools.cache
def engine_of(name: str, precision: str) -> Engine:
    """The engine of this process."""
    return new_engine(name, precision)


def new_engine(name: str, precision: str, *, deterministic: bool = False, recording: bool = True) -> Any:
    """Another engine.

    Args:
        name, precision: which.
        deterministic: whether it leaves out plans whose results differ from run to run.
        recording: whether passes become CUDA graphs.
    """
    os.environ[DETERMINISTIC] = str(int(deterministic))
    engine: Any = registry().load("engine", name)(registry(), precision=precision)
    engine.recording = recording
    return engine
