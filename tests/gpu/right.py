"""Whether cafx computes on the GPU what it should: ``run.sh right``."""

from __future__ import annotations

import argparse
import json
import os
import re
import sys
import time
from collections.abc import Iterator
from typing import Any

from engines import GPU_ENGINES
from machine import REHEARSAL, describe
from pool import Answer, Item, run_all
from right_layers import golden_kinds, layer_kinds
from rows import Row, Rows, columns

SECONDS = 240
WORKERS = 8
STEPS = (("lenet", 64, 1e-4), ("caffenet", 4, 1e-3), ("resnet50", 4, 1e-2), ("googlenet", 2, 1e-3))
REHEARSED_STEPS = (("lenet", 4, 1e-4),)
REHEARSED_ITERATIONS = {"iterations": 4, "batch": 8, "tests": 16}


def items() -> Iterator[Item]:
    """Everything, what takes longest first."""
    for net, batch, tolerance in REHEARSED_STEPS if REHEARSAL else STEPS:
        for engine, precision in GPU_ENGINES:
            if engine == "cudnn" or net == "lenet":
                arguments = {"net": net, "batch": batch, "tolerance": tolerance, **_chosen(engine, precision)}
                yield Item(f"step/{net}/{engine}-{precision}", "right_nets", "single_step", arguments, 120)
    for engine, precision in GPU_ENGINES:
        chosen = _chosen(engine, precision)
        scale = REHEARSED_ITERATIONS if REHEARSAL else {}
        yield Item(f"lenet100/{engine}-{precision}", "right_nets", "lenet_iterations", {**chosen, **scale}, 120)
        yield Item(f"resume/{engine}-{precision}", "right_nets", "resume", chosen, 90)
        yield Item(f"graphs/{engine}-{precision}", "right_nets", "graphs_change_nothing", chosen, 90)
    yield Item("refusals", "right_refusals", "refusals", {}, 90)
    for engine, precision in GPU_ENGINES:
        for kind in layer_kinds():
            arguments = {**_chosen(engine, precision), "kind": kind}
            yield Item(f"layer/{engine}-{precision}/{kind}", "right_layers", "conformance", arguments, 120)
    for engine, precision in GPU_ENGINES[:2]:
        for kind in golden_kinds():
            arguments = {**_chosen(engine, precision), "kind": kind}
            yield Item(f"golden/{engine}-{precision}/{kind}", "right_layers", "golden", arguments, 120)


def _chosen(engine: str, precision: str) -> dict[str, str]:
    return {"engine": engine, "precision": precision}


def render(rows: dict[str, Row]) -> str:
    """What failed, then counts, then errors of nets, then what is not recorded."""
    parts = [_failures(rows), _counts(rows), _steps(rows), _coverage(rows), _messages(rows)]
    return "\n\n".join(part for part in parts if part)


def _failures(rows: dict[str, Row]) -> str:
    failed = {name: row for name, row in rows.items() if not row["ok"]}
    lines = [f"{len(rows)} items, {len(failed)} failed"]
    for name, row in failed.items():
        lines.append(f"FAILED {name}")
        detail = row.get("error") or row.get("failed") or row.get("problems") or row
        text = detail if isinstance(detail, str) else json.dumps(detail, indent=1).replace("\\n", "\n")
        lines += [f"    {line}" for line in text.splitlines()[-30:]]
    return "\n".join(lines)


def _counts(rows: dict[str, Row]) -> str:
    lines = [["cases", "types", "cases", "failed", "seconds"]]
    for group in ("layer", "golden"):
        for engine, precision in GPU_ENGINES:
            found = [row for name, row in rows.items() if name.startswith(f"{group}/{engine}-{precision}/")]
            if found:
                totals = [len(found), *(sum(_number(row.get(key)) for row in found) for key in ("cases", "failed"))]
                seconds = sum(row["seconds"] for row in found)
                lines.append([f"{group} {engine} {precision}", *map(str, totals), f"{seconds:.0f}"])
    return columns(lines) if len(lines) > 1 else ""


def _number(value: Any) -> int:
    return value if isinstance(value, int) else len(value or ())


def _steps(rows: dict[str, Row]) -> str:
    lines = [["relative error of", "median", "worst", "own worst", "where"]]
    for name, row in rows.items():
        for what in ("pass 0", "pass 3", "update") if name.startswith("step/") and "errors" in row else ():
            error = row["errors"][what]
            own = f"{row['errors']['own update' if what == 'update' else 'own']['worst']:.1e}"
            lines.append([f"{name} {what}", f"{error['median']:.1e}", f"{error['worst']:.1e}", own, error["where"]])
    for name, row in rows.items():
        if name.startswith("lenet100/") and "accuracies" in row:
            lines.append([name, "accuracies", *(f"{each:.4f}" for each in row["accuracies"].values()), ""])
    return columns(lines) if len(lines) > 1 else ""


def _coverage(rows: dict[str, Row]) -> str:
    lines = []
    for engine, precision in GPU_ENGINES:
        prefix = f"layer/{engine}-{precision}/"
        found = {name.removeprefix(prefix): row for name, row in rows.items() if name.startswith(prefix)}
        partial = {kind: row["not recorded"] for kind, row in found.items() if row.get("not recorded")}
        if found:
            whole = len(found) - len(partial)
            lines.append(f"recorded in CUDA graphs, {engine} {precision}: {whole} of {len(found)} types in every case")
            for kind, cases in partial.items():
                reasons = "; ".join(sorted(set(cases.values())))
                lines.append(f"    {kind}: {len(cases)} of {found[kind]['cases']} cases not: {reasons}")
    refused = {name: row["refused"] for name, row in rows.items() if row.get("refused")}
    lines += [f"not recorded in {name}: {steps}" for name, steps in refused.items()]
    return "\n".join(lines)


def _messages(rows: dict[str, Row]) -> str:
    messages = rows.get("refusals", {}).get("messages", {})
    return "\n".join(f"{name}: {message}" for name, message in messages.items())


def main() -> int:
    """Run what is missing; the exit code says whether something failed (1), or time ran out (3)."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--fresh", action="store_true", help="repeat what has results")
    parser.add_argument("--only", default="", metavar="PATTERN", help="items whose name has this regular expression")
    parser.add_argument("--seconds", type=float, default=SECONDS, help="time limit")
    given = parser.parse_args()
    deadline = time.monotonic() + given.seconds
    rows = Rows("right", describe(), render, fresh=given.fresh)
    chosen = [item for item in items() if re.search(given.only, item.name)]
    missing = [item for item in chosen if item.name not in rows.rows]

    def finished(item: Item, answer: Answer) -> None:
        row = answer.get("row") or {"ok": False, "error": answer["error"]}
        rows.add(item.name, row | {"seconds": answer["seconds"]})
        print(f"{'ok    ' if row['ok'] else 'FAILED'} {answer['seconds']:6.1f} s  {item.name}", flush=True)

    cores = os.cpu_count() or 1
    workers = min(WORKERS, cores)
    threads = str(max(1, cores // workers))
    alone = [item for item in missing if item.function == "refusals"]  # which fills the GPU's memory
    together = [item for item in missing if item not in alone]
    late = run_all(together, workers, deadline, finished, OMP_NUM_THREADS=threads)
    late += run_all(alone, 1, deadline, finished)
    rows.write()
    print(render(rows.rows))
    if late:
        print(f"no time for {len(late)} items; run again to continue")
    failed = any(not rows.rows[item.name]["ok"] for item in chosen if item.name in rows.rows)
    return 1 if failed else 3 if late else 0


if __name__ == "__main__":
    sys.exit(main())
