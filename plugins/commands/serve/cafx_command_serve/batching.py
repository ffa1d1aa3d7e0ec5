"""Batching: images of concurrent requests go through the net together."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Executor
from typing import Any

import attrs
import numpy.typing as npt

Array = npt.NDArray[Any]
Run = Callable[[Sequence[Array]], Sequence[Array]]


class Full(Exception):
    """As many requests as may wait are waiting."""


class NetFailed(Exception):
    """The net raised an error; it is the cause of this one."""


@attrs.define
class Waiting:
    """One request's inputs, and where its results go."""

    inputs: Array
    result: asyncio.Future[list[Array]]


class Admitted:
    """A request in work.

    Args:
        batcher: where its inputs go.
    """

    def __init__(self, batcher: Batcher) -> None:
        self._batcher, self._coming = batcher, False

    def expect(self, *, coming: bool) -> None:
        """Say that its image has arrived, so that others may wait until it is decoded; or that they need not."""
        self._batcher.coming += int(coming) - self._coming
        self._coming = coming

    def submit(self, inputs: Array) -> asyncio.Future[list[Array]]:
        """A future of its inputs' results, in their order; awaiting it may raise `NetFailed`."""
        self.expect(coming=False)
        return self._batcher.put(inputs)


class Batcher:
    """Collects inputs while the net is busy, and runs them together.

    If the net is idle, a request does not wait, unless images of others have arrived and are being decoded: then it
    waits for them, for at most ``delay``. That costs nobody anything where the net and the decoders share a processor.

    Args:
        run: the net: N inputs to N results; called by one thread at a time.
        executor: runs it.
        most: inputs per batch.
        limit: requests in work at the same time.
        delay: seconds to wait for others.
        observe: called with the number of inputs of each batch.

    Attributes:
        active: number of requests in work.
        coming: how many of them have an image that is being decoded.
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
        self.coming = 0
        self._queue: asyncio.Queue[Waiting] = asyncio.Queue()
        self._task: asyncio.Task[None] | None = None

    @contextlib.contextmanager
    def admitted(self) -> Iterator[Admitted]:
        """A request is in work, from before its body is read until it is answered.

        Raises:
            Full: too many are.
        """
        if self.active >= self.limit:
            raise Full
        self.active += 1
        request = Admitted(self)
        try:
            yield request
        finally:
            self.active -= 1
            request.expect(coming=False)

    def put(self, inputs: Array) -> asyncio.Future[list[Array]]:
        """Queue inputs; the future is that of their results."""
        waiting = Waiting(inputs, asyncio.get_running_loop().create_future())
        self._queue.put_nowait(waiting)
        return waiting.result

    async def work(self) -> None:
        """Run batches, until cancelled."""
        while True:
            group = await self._collected()
            inputs = [image for each in group for image in each.inputs]
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
            if self._queue.empty() and not self.coming:
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
