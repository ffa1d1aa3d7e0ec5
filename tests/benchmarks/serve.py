"""Requests per second of ``cafx serve`` with and without batching: python tests/benchmarks/serve.py NET WEIGHTS IMAGE …

Further options are those of ``cafx serve``. Clients run in a process of their own, each with one connection that it
keeps, and send the image again as soon as it is answered. Both servers run in turn, several times, on the same machine;
the ratio is that of their medians.
"""

from __future__ import annotations

import argparse
import multiprocessing
import re
import selectors
import socket
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import cast

import numpy as np

CLIENTS, SECONDS, ROUNDS = 16, 5.0, 3
LENGTH = re.compile(rb"(?i)content-length: (\d+)")
UNBATCHED = ("--max-batch", "1", "--batch-delay", "0")


def load(port: int, body: bytes, clients: int, seconds: float, found: multiprocessing.Queue[list[float]]) -> None:
    """Send requests on ``clients`` connections for so long, and note how long each took; as cheaply as can be."""
    request = f"POST /classify HTTP/1.1\r\nHost: localhost\r\nContent-Length: {len(body)}\r\n\r\n".encode() + body
    waiting = selectors.DefaultSelector()
    times: list[float] = []
    for _ in range(clients):
        connection = socket.create_connection(("127.0.0.1", port), timeout=60)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection.sendall(request)
        waiting.register(connection, selectors.EVENT_READ, [time.monotonic(), b""])
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        for key, _ in waiting.select(60):
            connection, state = cast("socket.socket", key.fileobj), key.data
            state[1] += connection.recv(1 << 16)
            head, found_end, rest = state[1].partition(b"\r\n\r\n")
            if found_end and len(rest) >= int(LENGTH.search(head)[1]):  # type: ignore[index]
                if b" 200 " not in head.split(b"\r\n")[0]:
                    raise RuntimeError(head.decode())
                times.append(time.monotonic() - state[0])
                connection.sendall(request)
                state[:] = time.monotonic(), b""
    found.put(times)


def measure(command: list[str], body: bytes, clients: int, seconds: float) -> list[float]:
    """The times of the requests that a server answers in so many seconds."""
    server = subprocess.Popen([*command, "--port", "0", "--quiet"], stdout=subprocess.PIPE, text=True)
    try:
        assert server.stdout is not None
        port = int(server.stdout.readline().rstrip("/\n").rpartition(":")[2])
        found: multiprocessing.Queue[list[float]] = multiprocessing.Queue()
        for duration in (1.0, seconds):  # the first warms up
            process = multiprocessing.Process(target=load, args=(port, body, clients, duration, found))
            process.start()
            times = found.get()
            process.join()
        return times
    finally:
        server.terminate()
        server.wait()


def main() -> None:
    """Print requests per second and latencies."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("net")
    parser.add_argument("weights")
    parser.add_argument("image", type=Path)
    parser.add_argument("--clients", type=int, default=CLIENTS)
    parser.add_argument("--seconds", type=float, default=SECONDS)
    parser.add_argument("--rounds", type=int, default=ROUNDS)
    given, options_of_serve = parser.parse_known_args()
    command = [sys.executable, "-m", "cafx.cli", "serve", given.net, "-w", given.weights, *options_of_serve]
    rates: dict[str, list[float]] = {}
    for _ in range(given.rounds):
        for name, options in (("unbatched", UNBATCHED), ("batched", ())):
            times = measure([*command, *options], given.image.read_bytes(), given.clients, given.seconds)
            rates.setdefault(name, []).append(len(times) / given.seconds)
            p50, p99 = np.percentile(times, [50, 99]) * 1000
            print(f"{name:>9}: {rates[name][-1]:8.1f} requests/s, p50 {p50:7.1f} ms, p99 {p99:7.1f} ms", flush=True)
    ratio = statistics.median(rates["batched"]) / statistics.median(rates["unbatched"])
    print(f"{given.clients} clients: {ratio:.2f} times the throughput")


if __name__ == "__main__":
    main()
