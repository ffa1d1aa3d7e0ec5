"""cafx's side of ``fast.py``: training steps of a real solver, and forward passes."""

from __future__ import annotations

import gc
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import models
import numpy as np
from engines import new_engine
from machine import HERE, REHEARSAL
from nets import SEED, feed, make_solver

from cafx.kernel import TEST, Net, registry, schema

WARM_UPS = 4
"""Two eager, one recorded, one replayed."""
SECONDS = 0.5
"""About how long a timed repetition takes."""
REPEATS = 5
HOST_CALLS = 20
MEGABYTE = 1e6
SPIN = """
extern "C" __global__ void spin(long long nanoseconds) {
    unsigned long long start, now;
    asm volatile("mov.u64 %0, %globaltimer;" : "=l"(start));
    do asm volatile("mov.u64 %0, %globaltimer;" : "=l"(now));
    while ((long long)(now - start) < nanoseconds);
}
"""
STORED = {"caffenet": ((3, 256, 256), 227), "lenet": ((1, 32, 32), 28)}
"""Shape of stored images, and what is cropped from them."""
RECORDS = 1024
Row = dict[str, Any]


def train(net: str, batch: int, engine: str, precision: str, recording: bool = True) -> Row:
    """Milliseconds of a training step, of the GPU's part of it, and of the host's."""
    _clear()
    used = new_engine(engine, precision, recording=recording)
    text = models.MODELS[net](batch)
    free = _free(used)
    start = time.perf_counter()
    solver = make_solver(text, used)
    feed(solver, text.classes)
    solver.step(1)
    row = {"first_s": time.perf_counter() - start}
    solver.step(WARM_UPS)
    row |= _measured(used, solver.step, solver.iterate)
    solver.close()
    return row | {"loss": solver.step(1), "held_mb": (free - _free(used)) / MEGABYTE, **_program(solver.net)}


def infer(net: str, batch: int, engine: str, precision: str) -> Row:
    """Milliseconds of a forward pass in TEST phase."""
    _clear()
    used = new_engine(engine, precision)
    free = _free(used)
    proto = schema().parse_text(str(for_inference(models.MODELS[net](batch))), "NetParameter")
    with Net(proto, TEST, engine=used, seed=5, keep="outputs") as built:
        shape = built.blobs["data"].shape
        built.blobs["data"].set_data(np.random.default_rng(SEED).standard_normal(shape, dtype=np.float32))

        def run(count: int) -> None:
            for _ in range(count):
                built.run_forward()
            used.synchronize()

        run(WARM_UPS)
        row = _measured(used, run, built.run_forward)
        return row | {"held_mb": (free - _free(used)) / MEGABYTE, **_program(built)}


def for_inference(text: models.Text) -> models.Text:
    """The net without losses and auxiliary classifiers."""
    text.lines = [line for line in text.lines if "SoftmaxWithLoss" not in line and 'name: "label"' not in line]
    text.lines = [line for line in text.lines if 'top: "side' not in line]
    return text


def with_data_layer(net: str, batch: int, engine: str, precision: str) -> Row:
    """A net fed from a database of images that need no decoder."""
    _clear()
    shape, crop = STORED[net]
    with tempfile.TemporaryDirectory() as folder:
        path = _database(Path(folder), shape)
        transform = f"crop_size: {crop} mirror: true mean_value: 110 scale: 0.01"
        source = (
            f'layer {{ name: "data" type: "Data" top: "data" top: "label" transform_param {{ {transform} }} '
            f'data_param {{ source: "{path}" backend: LMDB batch_size: {batch} }} }}'
        )
        with make_solver(models.MODELS[net](batch, source), new_engine(engine, precision)) as solver:
            solver.step(WARM_UPS)
            return _measured(solver.net.engine, solver.step, solver.iterate, most=20)


def _database(folder: Path, shape: tuple[int, ...]) -> Path:
    """Images of random bytes."""
    from cafx_lib_feed.datum import datum_bytes

    path, rng = folder / "images", np.random.default_rng(0)
    count = 16 if REHEARSAL else RECORDS
    with registry().load("database", "LMDB").create(path) as writer:
        for first in range(0, count, 64):
            images = rng.integers(0, 256, (min(64, count - first), *shape), dtype=np.uint8)
            writer.put([(b"%08d" % (first + i), datum_bytes(image, i % 10)) for i, image in enumerate(images)])
    return path


def second_start(net: str, batch: int, engine: str, precision: str) -> Row:
    """Seconds from the start of a process to the end of the first iteration, with plans and kernels on disk."""
    code = (
        f"import sys; sys.path[:0] = [{str(HERE)!r}, {str(HERE.parent / 'benchmarks')!r}]; "
        f"import fast_cafx; fast_cafx.first_iteration({net!r}, {batch}, {engine!r}, {precision!r})"
    )
    seconds = []
    for _ in range(2):
        start = time.perf_counter()
        subprocess.run([sys.executable, "-c", code], check=True, timeout=120, stdout=sys.stderr)
        seconds.append(time.perf_counter() - start)
    return {"second_start_s": seconds[-1], "before_s": seconds[0]}


def first_iteration(net: str, batch: int, engine: str, precision: str) -> None:
    """One iteration, then nothing more."""
    import contextlib

    with contextlib.ExitStack() as stack:
        if REHEARSAL:
            from rehearsal import standing_in

            stack.enter_context(standing_in())
        text = models.MODELS[net](batch)
        solver = make_solver(text, new_engine(engine, precision))
        feed(solver, text.classes)
        solver.step(1)


def _measured(
    engine: Any, run: Callable[[int], object], once: Callable[[], object], most: int = 400
) -> dict[str, float]:
    """Times of one call.

    Args:
        engine: the engine.
        run: runs a number of calls, and waits for the GPU.
        once: one call, which does not wait.
        most: calls in a repetition at most.
    """
    one = _seconds(lambda: run(1))
    count = 1 if REHEARSAL else max(3, min(most, int(SECONDS / REPEATS / one) + 1))
    walls = sorted(_seconds(lambda: run(count)) / count for _ in range(REPEATS))
    alone = [_seconds(lambda: run(1)) for _ in range(REPEATS)]
    hosts = [_host_seconds(engine, once) for _ in range(1 if REHEARSAL else HOST_CALLS)]
    host = statistics.median(hosts)
    gpu = _gpu_milliseconds(engine, once, max(1, min(count, 20)), host)
    wall = statistics.median(walls) * 1e3
    row = {"ms": wall, "least_ms": walls[0] * 1e3, "gpu_ms": gpu, "host_ms": host * 1e3, "above_gpu_ms": wall - gpu}
    return row | {"one_call_ms": statistics.median(alone) * 1e3, "calls": count}


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start


def _host_seconds(engine: Any, once: Callable[[], object]) -> float:
    """What a call takes in Python while the GPU has nothing else to do."""
    engine.synchronize()
    seconds = _seconds(once)
    engine.synchronize()
    return seconds


def _gpu_milliseconds(engine: Any, once: Callable[[], object], count: int, host: float) -> float:
    """What a call takes on the GPU when it never waits for the host.

    A kernel that only waits keeps the GPU until the calls are queued.
    """
    session = engine.session
    session.use()
    cupy, stream = session.cupy, session.stream
    start, end = cupy.cuda.Event(), cupy.cuda.Event()
    if not REHEARSAL:
        nanoseconds = np.int64(1e9 * min(2.0, 1.5 * count * host + 0.001))
        cupy.RawKernel(SPIN, "spin")((1,), (1,), (nanoseconds,))
    start.record(stream)
    for _ in range(count):
        once()
    session.use()
    end.record(stream)
    end.synchronize()
    return float(cupy.cuda.get_elapsed_time(start, end)) / count


def _free(engine: Any) -> int:
    """Free bytes of the card."""
    engine.synchronize()
    return int(engine.session.memory()[0])


def _program(net: Net) -> Row:
    program: Any = net.program
    refused = {step.name: str(why) for step, why in program.recorder.refused.items()}
    used = net.engine.session.cupy.get_default_memory_pool().used_bytes()  # type: ignore[attr-defined]
    return {"graphs": program.graphs, "refused": refused, "used_mb": used / MEGABYTE, "steps": len(program.steps)}


def _clear() -> None:
    """Return the memory of earlier measurements to the card."""
    import cupy

    gc.collect()
    cupy.get_default_memory_pool().free_all_blocks()
