"""Batching: images of concurrent requests go through the net together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Array], Sequence[Array]]
Submit = Callable[[Array], "asyncio.Future[list[Array]]"]


class Full(Exception):
    """As many requests as may wait are waiting."""


class NetFailed(Exception):
    """The net raised an error; it is the cause of this one."""


@attrs.define
class Waiting:
    """One request's inputs, and where its results go."""

    inputs: Array
    result: asyncio.Future[list[Array]]


class Batcher:
    """Collects inputs while the net is busy, and runs them together.

    If the net is idle, a request does not wait, unless others are on their way: then it waits for them, for at most
    ``delay``.

    Args:
        run: the net: N inputs to N results; called by one thread at a time.
        executor: runs it.
        most: inputs per batch.
        limit: requests in work at the same time.
        delay: seconds to wait for others.
        observe: called with the number of inputs of each batch.

    Attributes:
        active: number of requests in work.
    """

    def __init__(
        self,
        run: Run,
        executor: Executor,
        *,
        most: int,
        limit: int,
        delay: float,
        observe: Callable[[int], None] = lambda _: None,
    ) -> None:
        self.run, self.executor = run, executor
        self.most, self.limit, self.delay = most, limit, delay
        self.observe = observe
        self.active = 0
        self._coming = 0
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def admitted(self) -> Iterator[Submit]:
        """A request is in work, from before its body is read until it is answered.

        Yields:
            A function from the request's inputs to their results, in their order; to be awaited once. That may raise
            `NetFailed`.

        Raises:
            Full: too many are.
        """
        if self.active >= self.limit:
            raise Full
        coming = True
        self.active += 1
        self._coming += 1

        def submit(inputs: Array) -> asyncio.Future[list[Array]]:
            nonlocal coming
            coming = False
            self._coming -= 1
            waiting = Waiting(inputs, asyncio.get_running_loop().create_future())
            self._queue.put_nowait(waiting)
            return waiting.result

        try:
            yield submit
        finally:
            self.active -= 1
            self._coming -= coming

    async def work(self) -> None:
        """Run batches, until cancelled."""
        while True:
            group = await self._collected()
            inputs = np.concatenate([each.inputs for each in group])
            self.observe(len(inputs))
            try:
                found = await asyncio.get_running_loop().run_in_executor(self.executor, self.run, inputs)
            except Exception as error:  # noqa: BLE001 - layers may be anybody's: those who wait are told
                _fail(group, error)
                continue
            begin = 0
            for each in group:
                end = begin + len(each.inputs)
                if not each.result.done():
                    each.result.set_result(list(found[begin:end]))
                begin = end

    async def _collected(self) -> list[Waiting]:
        """The requests of the next batch: all that wait, and some that come, until the batch is full."""
        group = [await self._queue.get()]
        end = asyncio.get_running_loop().time() + self.delay
        while sum(len(each.inputs) for each in group) < self.most:
            if self._queue.empty() and not self._coming:
                break
            try:
                async with asyncio.timeout_at(end):
                    group.append(await self._queue.get())
            except TimeoutError:
                break
        return [each for each in group if not each.result.done()] or await self._collected()


def _fail(group: Sequence[Waiting], error: Exception) -> None:
    for each in group:
        if not each.result.done():
            failed = NetFailed(str(error) or type(error).__name__)
            failed.__cause__ = error
            each.result.set_exception(failed)
