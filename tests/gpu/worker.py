"""A process that runs items on request: ``python worker.py``, then one JSON object per line.

An item names a module here, a function of it, and keyword arguments. The answer holds what the
function returned, or a traceback. What libraries print goes to standard error.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys
import time
import traceback
from typing import Any

from machine import HERE, REHEARSAL

BROKEN = ("cupy", "cudnn", "torch")
"""Packages of the errors after which a CUDA context may be unusable."""


def answer(item: dict[str, Any]) -> dict[str, Any]:
    """Run one item."""
    start = time.perf_counter()
    try:
        function = getattr(importlib.import_module(item["module"]), item["function"])
        given: dict[str, Any] = {"row": function(**item["arguments"])}
    except Exception as error:  # noqa: BLE001 - the item is recorded as failed, with its traceback
        given = {"error": traceback.format_exc(), "broken": type(error).__module__.startswith(BROKEN)}
    return given | {"seconds": round(time.perf_counter() - start, 2)}


def main() -> None:
    """Answer until standard input ends."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    with contextlib.ExitStack() as stack:
        if REHEARSAL:
            from rehearsal import standing_in

            stack.enter_context(standing_in())
        for line in sys.stdin:
            print(json.dumps(answer(json.loads(line))), file=answers, flush=True)


if __name__ == "__main__":
    sys.path[:0] = [str(HERE), str(HERE.parent / "benchmarks")]
    main()
