"""Process-wide settings of pycaffe: engine, random seed and log."""

from __future__ import annotations

import logging
from collections.abc import Callable

from cafx.kernel import TEST as _TEST
from cafx.kernel import TRAIN as _TRAIN
from cafx.kernel import CafxError, Engine, registry

TRAIN, TEST = int(_TRAIN), int(_TEST)
GPU_ENGINES = ("cudnn", "cupy")
_log = logging.getLogger("caffe")


class _Process:
    """Settings for nets and solvers created from now on."""

    engine: str | None = None
    seed: int | None = None
    device = 0
    solver_count = 1
    solver_rank = 0


process = _Process()


def set_mode_cpu() -> None:
    """Use the fastest CPU engine for nets created from now on."""
    process.engine = _fastest(lambda name: name not in GPU_ENGINES)


def set_mode_gpu() -> None:
    """Use the fastest GPU engine for nets created from now on.

    Raises:
        CafxError: no GPU engine is available.
    """
    engine = _fastest(lambda name: name in GPU_ENGINES)
    if engine is None:
        raise CafxError(
            "no GPU engine is available",
            where="set_mode_gpu",
            remedy="pip install cafx-engine-cupy on a machine with CUDA, or call set_mode_cpu()",
        )
    process.engine = engine


def _fastest(accept: Callable[[str], bool]) -> str | None:
    """The available engine of highest priority whose name is accepted."""
    engines: list[tuple[str, type[Engine]]] = [(p.name, engine) for p, engine in registry().usable("engine")]
    available = [(e.priority, name) for name, e in engines if accept(name) and e.unavailable() is None]
    return max(available)[1] if available else None


def set_device(device: int) -> None:
    """Accepted for compatibility; engines use the first visible GPU (see CUDA_VISIBLE_DEVICES)."""
    process.device = int(device)


def set_random_seed(seed: int) -> None:
    """Set the random seed of nets and solvers created from now on."""
    process.seed = int(seed)


def layer_type_list() -> list[str]:
    """The installed layer types."""
    return registry().names("layer")


def init_log(level: int = 0, to_stderr: bool = False) -> None:
    """Log messages of ``level`` (0 info, 1 warning, 2 error, 3 fatal) and above to stderr."""
    logging.basicConfig(level=(logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)[level])


def log(message: str) -> None:
    """Log a message at level info."""
    _log.info(message)


def has_nccl() -> bool:
    """Whether training on several GPUs is supported: always false."""
    return False


def set_multiprocess(on: bool) -> None:
    """Accepted for compatibility, ignored."""


def solver_count() -> int:
    """The value set by `set_solver_count`."""
    return process.solver_count


def set_solver_count(count: int) -> None:
    """Accepted for compatibility; has no effect on training."""
    process.solver_count = int(count)


def solver_rank() -> int:
    """The value set by `set_solver_rank`."""
    return process.solver_rank


def set_solver_rank(rank: int) -> None:
    """Accepted for compatibility; has no effect on training."""
    process.solver_rank = int(rank)
