"""What pycaffe sets for the whole process: where nets run, the seed, and the log."""

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
    """Settings nets and solvers are made with from here on."""

    engine: str | None = None
    seed: int | None = None
    device = 0
    solver_count = 1
    solver_rank = 0


process = _Process()


def set_mode_cpu() -> None:
    """Run nets made from here on on the best engine without a GPU."""
    process.engine = _best(lambda name: name not in GPU_ENGINES)


def set_mode_gpu() -> None:
    """Run nets made from here on on the best GPU engine; CafxError where there is none."""
    found = _best(lambda name: name in GPU_ENGINES)
    if found is None:
        raise CafxError(
            "no engine here runs on a GPU",
            where="set_mode_gpu",
            remedy="pip install cafx-engine-cupy on a machine with CUDA, or call set_mode_cpu()",
        )
    process.engine = found


def _best(wanted: Callable[[str], bool]) -> str | None:
    """The available engine of highest priority whose name is ``wanted``."""
    engines: list[tuple[str, type[Engine]]] = [(p.name, found) for p, found in registry().usable("engine")]
    usable = [(e.priority, name) for name, e in engines if wanted(name) and e.unavailable() is None]
    return max(usable)[1] if usable else None


def set_device(device: int) -> None:
    """Which GPU a script means; engines take the first one visible (CUDA_VISIBLE_DEVICES)."""
    process.device = int(device)


def set_random_seed(seed: int) -> None:
    """The seed of the random streams of nets and solvers made from here on."""
    process.seed = int(seed)


def layer_type_list() -> list[str]:
    """The installed layer types."""
    return registry().names("layer")


def init_log(level: int = 0, to_stderr: bool = False) -> None:
    """Show log lines of ``level`` (0 info, 1 warning, 2 error) and above on stderr."""
    logging.basicConfig(level=(logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL)[level])


def log(message: str) -> None:
    """Write a line to the log."""
    _log.info(message)


def has_nccl() -> bool:
    """Whether several GPUs can train one net by this interface: they cannot."""
    return False


def set_multiprocess(on: bool) -> None:
    """Accepted for scripts that set it; nets of several processes know nothing of each other."""


def solver_count() -> int:
    """What `set_solver_count` set."""
    return process.solver_count


def set_solver_count(count: int) -> None:
    """Accepted for scripts that set it."""
    process.solver_count = int(count)


def solver_rank() -> int:
    """What `set_solver_rank` set."""
    return process.solver_rank


def set_solver_rank(rank: int) -> None:
    """Accepted for scripts that set it."""
    process.solver_rank = int(rank)
