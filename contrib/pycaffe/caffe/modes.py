"""Process-wide settings of pycaffe: engine, device and random seed."""

from __future__ import annotations

import logging
from typing import Any

from caffe import glog
from cafx.kernel import TEST as _TEST
from cafx.kernel import TRAIN as _TRAIN
from cafx.kernel import CafxError, Engine, registry
from cafx.kernel.net import available_engine, chosen_engine, engine_of_kind

TRAIN, TEST = int(_TRAIN), int(_TEST)
_log = logging.getLogger("caffe")


class _Process:
    """Settings for nets and solvers created from now on."""

    engine: str | None = None
    device: int | None = None
    seed: int | None = None
    has_warned = False
    solver_count = 1
    solver_rank = 0

    def rank_of_count(self) -> int:
        """The number of this process among all that train one net.

        Raises:
            CafxError: it is not one of them.
        """
        if not 0 <= self.solver_rank < self.solver_count:
            remedy = "call caffe.set_solver_rank and set_solver_count before the solver is made"
            expected = f"0 to {self.solver_count - 1}"
            raise CafxError("no such solver_rank", found=self.solver_rank, expected=expected, remedy=remedy)
        return self.solver_rank

    def engine_keywords(self) -> dict[str, Any]:
        """Keyword arguments for the kernel's Net and Solver; without a device, the solver's file names it."""
        device = {} if self.device is None else {"device": self.device}
        return {"engine": self.engine, **device}


process = _Process()


def set_mode_cpu() -> None:
    """Use the fastest CPU engine for nets created from now on.

    A CPU engine chosen by CAFX_ENGINE or `cafx.kernel.set_engine` is left alone.
    """
    chosen = chosen_engine()
    engine: type[Engine] | None = registry().load("engine", chosen) if chosen else None
    process.engine = available_engine(registry(), gpu=False) if engine is None or engine.gpu else None


def set_mode_gpu() -> None:
    """Use the fastest GPU engine for nets created from now on.

    An engine chosen by CAFX_ENGINE or `cafx.kernel.set_engine` is left alone. Without a GPU engine that can run
    here, the fastest CPU engine is used, and the log says so once.

    Raises:
        CafxError: there is no GPU, and CAFX_STRICT_MODE is 1.
    """
    process.engine, notice = engine_of_kind(registry(), gpu=True, asked="set_mode_gpu()")
    if notice and not process.has_warned:
        glog.enable()
        _log.warning("%s; using the CPU", notice)
        process.has_warned = True


def set_device(device: int) -> None:
    """Use this GPU, by its number, for nets and solvers created from now on."""
    process.device = int(device)


def set_random_seed(seed: int) -> None:
    """Set the random seed of nets and solvers created from now on."""
    process.seed = int(seed)


def layer_type_list() -> list[str]:
    """The installed layer types."""
    return registry().names("layer")


def has_nccl() -> bool:
    """Whether several processes can train one net: always true, on CPUs as well."""
    return True


def set_multiprocess(on: bool) -> None:
    """Accepted for compatibility: `set_solver_count` decides."""


def solver_count() -> int:
    """The value set by `set_solver_count`."""
    return process.solver_count


def set_solver_count(count: int) -> None:
    """Set the number of processes that train one net, for solvers created from now on; see `caffe.NCCL`."""
    process.solver_count = int(count)


def solver_rank() -> int:
    """The value set by `set_solver_rank`."""
    return process.solver_rank


def set_solver_rank(rank: int) -> None:
    """Set the number of this process among those that train one net, from 0."""
    process.solver_rank = int(rank)
