"""Worker processes: each item has a time limit, and one that crashes or hangs costs only itself."""

from __future__ import annotations

import json
import os
import select
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import attrs
from machine import HERE

Answer = dict[str, Any]


@attrs.frozen
class Item:
    """Something to run in a worker.

    Attributes:
        name: its name in the results.
        module, function: what runs it.
        arguments: its keyword arguments.
        seconds: its time limit.
    """

    name: str
    module: str
    function: str
    arguments: Mapping[str, Any] = attrs.field(factory=dict)
    seconds: float = 60


class Worker:
    """One process, started when it is first needed, and again after it was stopped.

    Args:
        environment: what its environment has besides.
    """

    def __init__(self, **environment: str) -> None:
        self._environment = {**os.environ, **environment}
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, item: Item, seconds: float) -> Answer:
        """Run an item; the answer has ``row`` or ``error``, and ``seconds``."""
        start = time.perf_counter()
        process = self._process = self._process or self._started()
        assert process.stdin
        assert process.stdout
        request = {"module": item.module, "function": item.function, "arguments": dict(item.arguments)}
        try:
            process.stdin.write(json.dumps(request).encode() + b"\n")
            process.stdin.flush()
            ready, _, _ = select.select([process.stdout], [], [], seconds)
            line = process.stdout.readline() if ready else b""
        except OSError as error:
            ready, line = [], str(error).encode()
        if ready and line:
            answer: Answer = json.loads(line)
            if answer.get("broken"):
                self.stop()
            return answer
        self.stop()
        taken = time.perf_counter() - start
        code = process.returncode
        why = f"the process ended with code {code}" if ready else f"no answer within {seconds:.0f} s"
        return {"error": why, "seconds": round(taken, 2), "timed_out": not ready}

    def _started(self) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-u", str(HERE / "worker.py")]
        with Path(os.environ["OUT"], "log.txt").open("ab") as log:
            return subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, env=self._environment
            )

    def stop(self) -> None:
        """End the process."""
        if self._process is None:
            return
        self._process.kill()
        self._process.communicate()
        self._process = None


def run_all(
    items: Iterable[Item], workers: int, deadline: float, finished: Callable[[Item, Answer], None], **environment: str
) -> list[Item]:
    """Run items in several workers.

    Args:
        items: in the order in which they begin.
        workers: how many processes.
        deadline: of `time.monotonic`; no item begins later, and those that run then are stopped.
        finished: called with each item and its answer, by one thread at a time.
        environment: of the workers, besides.

    Returns:
        The items there was no time for.
    """
    queue, lock = list(items), threading.Lock()
    late: list[Item] = []

    def work() -> None:
        worker = Worker(**environment)
        while True:
            with lock:
                if not queue:
                    break
                item = queue.pop(0)
                left = deadline - time.monotonic()
                if left <= 0:
                    late.append(item)
                    continue
            answer = worker.run(item, min(item.seconds, left))
            with lock:
                if answer.get("timed_out") and left < item.seconds:
                    late.append(item)
                else:
                    finished(item, answer)
        worker.stop()

    threads = [threading.Thread(target=work) for _ in range(workers)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return late
