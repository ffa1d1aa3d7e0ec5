"""Executor ``ray``: actors of a Ray cluster."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import CafxError, registry
from cafx.kernel.files import shown
from cafx_lib_jobs.executor import Done, Executor, Lost, Work
from cafx_lib_jobs.hold import Hold
from cafx_lib_jobs.memory import keep_memory

if TYPE_CHECKING:
    from ray import ObjectRef

    from cafx.conformance.kinds.executor import ExecutorCase

Actor = Any
"""Ray's handle of a `Worker`."""

SECONDS_TO_ANSWER, SECONDS_TO_PROVE = 5, 20
"""How long a cluster may take to accept a connection, and to prove that it is one."""
SECONDS_TO_START = 120
"""How long the first worker may take to start."""
SECONDS_PER_LOOK = 1.0
FAILED_STARTS = 3
"""Workers in a row that may fail to start."""
STORE_BYTES = 128 << 20
"""Memory for objects of a cluster of our own; results are small, since outputs are files."""
SETTINGS = "CAFX_"
OWN_SETTINGS = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
}
"""Report nothing; start workers with this Python, not with uv."""
EXTRA = "cafx[ray]"
REMEDY = "install the same distributions of cafx on all machines of the cluster"


class _Quiet:
    """Standard output, for all but the threads in which Ray tells of workers that ended; the job itself does that.

    Args:
        stream: the stream.
    """

    def __init__(self, stream: Any) -> None:
        self.stream = stream

    def write(self, text: str) -> int:
        """Write a text; returns its length."""
        if not threading.current_thread().name.startswith("ray_"):
            self.stream.write(text)
        return len(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.stream, name)


class Worker:
    """An actor: performs one task at a time, and keeps what its `Hold` holds.

    Args:
        cores: number of threads it should use.
    """

    def __init__(self, cores: int) -> None:
        keep_memory()
        self._hold = Hold(cores)

    def perform(self, function: Work, task: Any) -> Any:
        """The result of a task."""
        return function(task, self._hold)


class Ray(Executor):
    """Runs tasks in actors, each of which takes a core of the cluster; without an address, on this machine.

    Outputs are files, so that all machines must share the folders of a job. Its CAFX_ settings hold in all workers.

    Raises:
        CafxError: nobody answers at the address, or the cluster has fewer cores than workers are asked for.
    """

    takes_address: ClassVar[bool] = True

    def __init__(self, workers: int | None = None, address: str | None = None) -> None:
        super().__init__(workers or None, address)
        self._idle: list[Actor] = []
        self._connected = False

    def start(self) -> None:
        """Connect to the cluster, or start one on this machine."""
        os.environ.update({name: os.environ.get(name, value) for name, value in OWN_SETTINGS.items()})
        if self.address is not None:
            check_address(self.address)
        ray = _module()
        own = {"include_dashboard": False, "num_cpus": self.workers or None, "object_store_memory": STORE_BYTES}
        settings = {name: value for name, value in os.environ.items() if name.startswith(SETTINGS)}
        try:
            ray.init(
                address=self.address or "local",
                runtime_env={"env_vars": settings},
                log_to_driver=False,
                logging_level=logging.ERROR,
                **({} if self.address else own),
            )
        except Exception as error:  # Ray raises errors of many kinds
            raise _unreachable(self.address, str(error)) from error
        self._connected = True
        sys.stdout = _Quiet(sys.stdout)
        cores = int(ray.cluster_resources().get("CPU", 0))
        if not cores or self.workers > cores:
            self.stop()
            raise CafxError("the cluster has too few cores", found=cores, expected=f"--workers {self.workers or 1}")
        self.workers = self.workers or cores

    def map(self, function: Work, tasks: Iterable[Any]) -> Iterator[Done | Lost]:
        """See `Executor`; Ray starts as many workers as there are free cores."""
        calls = _Calls(function, tasks, self.workers)
        for actor in self._idle:
            calls.give(actor)
        self._idle = []
        try:
            yield from calls.results()
        finally:
            self._idle = calls.stop()

    def stop(self) -> None:
        """See `Executor`."""
        self._idle = []
        if self._connected:
            self._connected = False
            _module().shutdown()
            if isinstance(sys.stdout, _Quiet):
                sys.stdout = sys.stdout.stream

    @classmethod
    def cases(cls) -> Iterable[ExecutorCase]:
        """Two actors of a cluster on this machine."""
        from importlib.util import find_spec

        from cafx.conformance.kinds.executor import ExecutorCase

        missing = None if find_spec("ray") else "ray is not installed"
        yield ExecutorCase("two-actors", unavailable=lambda: missing)


class _Calls:
    """Tasks that are handed out to actors, and their results.

    Args:
        function, tasks: see `Executor.map`.
        workers: number of actors.
    """

    def __init__(self, function: Work, tasks: Iterable[Any], workers: int) -> None:
        self._ray = _module()
        self._function, self._left, self._workers = function, iter(enumerate(tasks)), workers
        self._running: dict[ObjectRef[Any], tuple[Actor, int]] = {}
        self._starting: dict[ObjectRef[Any], Actor] = {}
        self._idle: list[Actor] = []
        self._failed = 0

    def give(self, actor: Actor) -> None:
        """Give an actor the next task, if there is one."""
        item = next(self._left, None)
        if item is None:
            self._idle.append(actor)
        else:
            index, task = item
            self._running[actor.perform.remote(self._function, task)] = actor, index

    def results(self) -> Iterator[Done | Lost]:
        """Yield results as they come."""
        for _ in range(self._workers - len(self._running) - len(self._idle)):
            self._start()
        since = time.monotonic()
        while self._running or (self._starting and not self._idle):
            waiting = [*self._running, *self._starting]
            ready, _ = self._ray.wait(waiting, num_returns=1, timeout=SECONDS_PER_LOOK)
            for reference in ready:
                since = time.monotonic()
                if reference in self._starting:
                    self._started(reference)
                else:
                    yield self._result(reference)
            if not self._running and not self._idle and time.monotonic() - since > SECONDS_TO_START:
                raise CafxError(
                    f"no worker of the Ray cluster has started in {SECONDS_TO_START} s",
                    found=f"{self._ray.available_resources().get('CPU', 0):g} free cores",
                    remedy="wait until the cluster is free, or look at 'ray status'",
                )

    def stop(self) -> list[Actor]:
        """The actors that may be used again; the others are ended."""
        for actor in [*self._starting.values(), *(actor for actor, _ in self._running.values())]:
            with contextlib.suppress(Exception):  # the cluster may be gone
                self._ray.kill(actor)
        return self._idle

    def _start(self) -> None:
        actor = self._ray.remote(num_cpus=1)(Worker).remote(1)
        self._starting[actor.__ray_ready__.remote()] = actor

    def _started(self, reference: ObjectRef[Any]) -> None:
        actor = self._starting.pop(reference)
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayError as error:
            self._failed += 1
            if self._failed >= FAILED_STARTS or lacks_module(error):
                raise _broken_worker(error) from error
            self._start()
            return
        self._failed = 0
        self.give(actor)

    def _result(self, reference: ObjectRef[Any]) -> Done | Lost:
        actor, index = self._running.pop(reference)
        try:
            value = self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:  # the task or its function cannot be read there
            raise _broken_worker(error) from error
        except self._ray.exceptions.RayError as error:
            self._start()
            return Lost(index, f"its worker was lost: {_first_line(error)}")
        self.give(actor)
        return Done(index, value)


def _module() -> Any:
    """Ray, imported on first use."""
    try:
        import ray
    except ImportError as error:
        raise CafxError(f"Ray cannot be imported: {error}", remedy=registry().install_line(EXTRA)) from error
    return ray


def check_address(address: str) -> None:
    """Check that something listens at an address, for which Ray itself would wait long.

    Args:
        address: ``HOST:PORT``, ``ray://HOST:PORT`` or ``auto``.

    Raises:
        CafxError: nobody answers, or it is no address.

    Example:
        >>> check_address("nowhere")  # doctest: +ELLIPSIS
        Traceback (most recent call last):
        ...
        cafx.kernel.errors.CafxError: not the address of a Ray cluster: got nowhere, expected HOST:PORT...
    """
    if address == "auto":
        return
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not (host and port.isdecimal() and 0 < int(port) < 1 << 16):
        expected = "HOST:PORT, ray://HOST:PORT or auto"
        raise CafxError("not the address of a Ray cluster", found=shown(address), expected=expected)
    try:
        socket.create_connection((host.strip("[]"), int(port)), SECONDS_TO_ANSWER).close()
    except OSError as error:
        raise _unreachable(address, error.strerror or str(error)) from None
    if not address.startswith("ray://"):
        _check_health(address)


def _check_health(address: str) -> None:
    """Let a process of its own ask the cluster: Ray tries again for minutes where something else answers."""
    command = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--address", address]
    try:
        done = subprocess.run(  # nosec B603 - Ray's own module, no shell
            command, capture_output=True, text=True, timeout=SECONDS_TO_PROVE, check=False
        )
    except subprocess.TimeoutExpired:
        raise _unreachable(address, "what answers is no Ray cluster, or it is too busy") from None
    if "AuthenticationError" in done.stderr:
        raise CafxError(
            f"the Ray cluster at {shown(address)} asks for a token",
            remedy="set RAY_AUTH_MODE=token, and see Ray's documentation for where the token goes",
        )
    if done.returncode:
        raise _unreachable(address, done.stderr.strip().rpartition("\n")[2] or "it is not healthy")


def _unreachable(address: str | None, reason: str) -> CafxError:
    reason = _first_line(reason)
    if address is None:
        return CafxError(f"Ray cannot be started: {reason}", remedy="--executor local needs no Ray")
    remedy = "start a cluster with 'ray start --head', or leave out --address to start one for this job"
    return CafxError(f"no Ray cluster answers at {shown(address)}: {reason}", remedy=remedy)


def lacks_module(error: object) -> bool:
    """Whether a worker could not import something."""
    return "No module named" in str(error) or "cannot import name" in str(error)


def _broken_worker(error: object) -> CafxError:
    """The error for a worker that cannot do its work."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    cause = next((line for line in reversed(lines) if "No module named" in line or "cannot import name" in line), None)
    if cause is None:
        return CafxError(f"workers of the Ray cluster fail to start: {_first_line(error)}", remedy="see 'ray logs'")
    remedy = f"{REMEDY}: {registry().install_line(EXTRA)}"
    return CafxError(f"a worker of the Ray cluster lacks a plugin: {cause}", remedy=remedy)


def _first_line(error: object) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0] if lines else type(error).__name__
