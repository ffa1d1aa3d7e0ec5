"""The seam between jobs and what runs them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any, ClassVar

import attrs

from cafx_lib_jobs.hold import Hold

Work = Callable[[Any, Hold], Any]
"""A function of a module; called with a task and what the worker keeps."""


@attrs.frozen
class Done:
    """The result of one task.

    Attributes:
        index: position of the task among those given.
        value: what the function returned.
    """

    index: int
    value: Any


@attrs.frozen
class Lost:
    """A task whose worker ended before it did.

    Attributes:
        index: position of the task among those given.
        reason: what is known about it.
    """

    index: int
    reason: str


class Executor:
    """Runs a function over tasks in any order, in workers; a plugin of group ``cafx.executors``.

    Used in a ``with`` block, which calls `start` and `stop`. Tasks, results and functions travel between processes of
    this job only. A function is found in a worker by its module's name.

    Class attributes:
        takes_address: whether it runs on a cluster with an address.

    Args:
        workers: number of workers; None for one per core.
        address: of the cluster; None for one of its own.

    Attributes:
        workers: number of workers, once started.
    """

    takes_address: ClassVar[bool] = False

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        self.workers = workers or 0
        self.address = address

    def start(self) -> None:
        """Start the workers, or the connection to them.

        Raises:
            CafxError: they cannot be started, or nobody answers at the address.
        """

    def map(self, function: Work, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        """Call ``function`` with each task and a worker's `Hold`; yields results as they come.

        A worker that ends is replaced; its task is not repeated but yielded as `Lost`.

        Args:
            function: a function of a module, which raises nothing.
            tasks: read as workers become free.

        Raises:
            CafxError: no worker is left, and none can be started.
        """
        raise NotImplementedError

    def stop(self) -> None:
        """Stop the workers, whatever they do; stopping twice has no effect."""

    def __enter__(self) -> Executor:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()
