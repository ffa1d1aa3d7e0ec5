"""How fast cafx is on the GPU, beside PyTorch on the same card in the same run: ``run.sh fast`` and ``compile``."""

from __future__ import annotations

import argparse
import os
import re
import sys
import time
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from machine import REHEARSAL, describe
from pool import Answer, Item, Worker
from rows import Row, Rows, columns

SECONDS = 300
BATCHES = {"lenet": 64, "caffenet": 256, "resnet50": 64, "googlenet": 128, "vgg16": 64}
REHEARSED = {"lenet": 2}
FAST = ("tf32", "bf16")
TORCH = ("torch graph", "torch eager", "torch compile")
LIMIT, COMPILE_LIMIT = 90, 150


def batches() -> dict[str, int]:
    """The nets, the most important first."""
    return REHEARSED if REHEARSAL else BATCHES


def cafx_item(function: str, net: str, precision: str, engine: str = "cudnn", **more: Any) -> Item:
    """A measurement of cafx."""
    eager = "eager " if not more.get("recording", True) else ""
    name = f"{function}/{net}/{precision}/{eager}{engine}"
    arguments = {"net": net, "batch": batches()[net], "engine": engine, "precision": precision, **more}
    return Item(name, "fast_cafx", function, arguments, LIMIT)


def torch_item(function: str, net: str, precision: str, *, graph: bool = True, layout: str = "NHWC") -> Item:
    """A measurement of PyTorch."""
    name = f"{function}/{net}/{precision}/torch {'graph' if graph else 'eager'} {layout}"
    arguments = {"net": net, "batch": batches()[net], "precision": precision}
    arguments |= {"train": function == "train", "graph": graph, "channels_last": layout == "NHWC"}
    return Item(name, "fast_torch", "measure", arguments, LIMIT)


def fast_items() -> Iterator[Item]:
    """Most important first: training by precision, what users wait for, inference, the rest."""
    nets = batches()
    for net in nets:
        for precision in FAST:
            yield cafx_item("train", net, precision)
            yield torch_item("train", net, precision)
    yield cafx_item("train", "lenet", "float32", engine="cupy")
    for net in nets:
        for precision in FAST:
            yield torch_item("train", net, precision, layout="NCHW")
    fed = "lenet" if REHEARSAL else "caffenet"
    for precision in FAST:
        yield cafx_item("second_start", fed, precision)
        yield cafx_item("with_data_layer", fed, precision)
    for net in nets:
        for precision in FAST:
            yield cafx_item("infer", net, precision)
            yield torch_item("infer", net, precision)
    for net in nets:
        yield cafx_item("train", net, "float32")
        yield torch_item("train", net, "float32", layout="NCHW")
        yield torch_item("train", net, "float32")
    for net in nets:
        for precision in FAST:
            yield cafx_item("train", net, precision, recording=False)
            yield torch_item("train", net, precision, graph=False)
    for net in nets:
        for precision in FAST:
            yield torch_item("infer", net, precision, layout="NCHW")


def compile_items() -> Iterator[Item]:
    """torch.compile, recorded as one CUDA graph; the order is that of what compiles soonest."""
    for net in batches():
        for precision in ("bf16", "tf32"):
            for function in ("train", "infer"):
                item = torch_item(function, net, precision)
                name = f"{function}/{net}/{precision}/torch compile"
                yield Item(name, item.module, item.function, {**item.arguments, "compiled": True}, COMPILE_LIMIT)


def render(rows: dict[str, Row]) -> str:
    """A line per net, pass and precision, then all measurements."""
    return "\n\n".join(part for part in (_ratios(rows), _details(rows), _failures(rows)) if part)


def _ratios(rows: dict[str, Row]) -> str:
    """cafx's medians beside PyTorch's best of both layouts."""
    lines = [["pass net precision", "cafx", *(cell for kind in TORCH for cell in (kind, "ratio")), "memory"]]
    groups = dict.fromkeys(name.rsplit("/", 1)[0] for name in rows)
    for group in groups:
        found = {name.rsplit("/", 1)[1]: row for name, row in rows.items() if name.startswith(f"{group}/")}
        for engine in ("cudnn", "cupy"):
            ours = found.get(engine, {}).get("ms")
            if ours is None:
                continue
            cells = [f"{group} {engine}", f"{ours:.3f}"]
            for kind in TORCH:
                best = _least(found, kind, "ms")
                cells += [f"{best:.3f}", f"{best / ours:.2f}"] if best else ["-", "-"]
            lines.append([*cells, _memory(found, engine)])
    return columns(lines) if len(lines) > 1 else ""


def _least(found: dict[str, Row], kind: str, column: str) -> float:
    """The least of some measurements; 0 without any."""
    return min((row[column] for name, row in found.items() if name.startswith(kind) and column in row), default=0.0)


def _memory(found: dict[str, Row], engine: str) -> str:
    """What cafx holds by what PyTorch in a graph holds."""
    theirs = _least(found, "torch graph", "held_mb")
    ours = found[engine].get("held_mb")
    return f"{ours / theirs:.2f}" if ours and theirs else "-"


COLUMNS = (
    *("ms", "least_ms", "gpu_ms", "host_ms", "above_gpu_ms", "one_call_ms", "held_mb", "used_mb", "first_s"),
    *("second_start_s", "idle", "graphs", "steps"),
)


def _details(rows: dict[str, Row]) -> str:
    measured = {name: row for name, row in rows.items() if "error" not in row}
    if not measured:
        return ""
    lines = [["measurement", *COLUMNS]]
    lines += [[name, *(_cell(row.get(column)) for column in COLUMNS)] for name, row in measured.items()]
    refused = [f"not recorded in {name}: {row['refused']}" for name, row in measured.items() if row.get("refused")]
    return "\n".join([columns(lines), *refused])


def _cell(value: Any) -> str:
    if value is None:
        return ""
    return str(value) if isinstance(value, int) else f"{value:.3f}" if abs(value) < 100 else f"{value:.0f}"


def _failures(rows: dict[str, Row]) -> str:
    return "\n\n".join(f"FAILED {name}\n{row['error'].strip()[-3000:]}" for name, row in rows.items() if "error" in row)


def selected(items: Iterator[Item], pattern: str) -> list[Item]:
    """The items to run here."""
    torch = find_spec("torch") is not None and not REHEARSAL
    return [item for item in items if re.search(pattern, item.name) and (torch or item.module != "fast_torch")]


def plan_cache() -> str:
    """A folder of plans that starts empty with each machine, unless one is given."""
    return os.environ.get("CAFX_CACHE") or str(Path(os.environ["CAFX_GPU_CACHE"], "plans"))


def main() -> int:
    """Measure what is missing, one at a time; the exit code is 1 if something failed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--part", choices=("fast", "compile"), default="fast", help="what to measure")
    parser.add_argument("--fresh", action="store_true", help="repeat what has results")
    parser.add_argument("--only", default="", metavar="PATTERN", help="items whose name has this regular expression")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    machine = describe()
    rows = Rows("fast", machine, render, fresh=given.fresh and given.part == "fast")
    workers = {"fast_cafx": Worker(CAFX_CACHE=plan_cache()), "fast_torch": Worker()}
    chosen = selected(fast_items() if given.part == "fast" else compile_items(), given.only)
    for item in chosen if given.fresh else ():
        rows.rows.pop(item.name, None)
    missing = [item for item in chosen if item.name not in rows.rows]
    late = 0
    for item in missing:
        left = deadline - time.monotonic()
        if left <= 0:
            late += 1
            continue
        answer = workers[item.module].run(item, min(item.seconds, left))
        if answer.get("timed_out") and left < item.seconds:
            late += 1
            continue
        _finished(rows, item, answer)
    for worker in workers.values():
        worker.stop()
    rows.write()
    print(render(rows.rows))
    if late:
        print(f"no time for {late} measurements; run again to continue")
    return int(any("error" in rows.rows.get(item.name, {}) for item in chosen))


def _finished(rows: Rows, item: Item, answer: Answer) -> None:
    row = answer.get("row") or {"error": answer["error"]}
    if item.function == "with_data_layer" and "ms" in row:
        row |= _idle(row, rows.rows.get(item.name.replace("with_data_layer", "train"), {}))
    rows.add(item.name, row | {"seconds": answer["seconds"]})
    result = "FAILED" if "error" in row else f"{row['ms']:9.3f} ms" if "ms" in row else f"{row['second_start_s']:.2f} s"
    print(f"{result}  {item.name}  ({answer['seconds']} s)", flush=True)


def _idle(row: Row, without: Row) -> Row:
    """The GPU's idle share with a Data layer: what the same step without one does not account for."""
    return {"idle": max(0.0, 1 - without["gpu_ms"] / row["ms"])} if "gpu_ms" in without else {}


if __name__ == "__main__":
    sys.exit(main())
