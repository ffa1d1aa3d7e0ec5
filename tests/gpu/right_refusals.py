"""What a person may ask of a GPU in vain: one clear line each, and exit code 1."""

from __future__ import annotations

import contextlib
import io
import os
import tempfile
from pathlib import Path
from typing import Any

from nets import text_of

from cafx.cli.main import run

BRANCHES = 40
HUGE = f"""
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2000 dim: 1 }} }} }}
layer {{ name: "tile" type: "Tile" bottom: "data" top: "tile" tile_param {{ axis: 1 tiles: 1000000 }} }}
{"".join(f'layer {{ name: "a{i}" type: "AbsVal" bottom: "tile" top: "a{i}" }}' for i in range(BRANCHES))}
layer {{ name: "sum" type: "Eltwise" top: "sum" {"".join(f'bottom: "a{i}" ' for i in range(BRANCHES))} }}
"""
"""A net whose blobs, 8 GB each and needed at the same time, fit on no GPU."""
REFUSALS = {
    "index too high": (["net", "lenet.prototxt", "--gpu", "77"], ("no such GPU", "77")),
    "cpu engine on a gpu": (["net", "lenet.prototxt", "--engine", "numpy", "--gpu", "0"], ("two engines asked for",)),
    "several gpus": (["net", "lenet.prototxt", "--gpu", "0,1"], ("one GPU per process",)),
    "precision": (
        ["net", "lenet.prototxt", "--engine", "cupy", "--precision", "bf16"],
        ("no such precision", "bf16", "tf32"),
    ),
    "out of memory": (
        ["time", "huge.prototxt", "--gpu", "0", "-n", "1"],
        ("memory is too small", "GiB", "batch", "would fit"),
    ),
}


def refusals() -> dict[str, Any]:
    """All of them, in this process."""
    row: dict[str, Any] = {"messages": {}, "problems": []}
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        try:
            Path("lenet.prototxt").write_text(str(text_of("lenet", 4)), encoding="utf-8")
            Path("huge.prototxt").write_text(HUGE, encoding="utf-8")
            for name, (arguments, expected) in REFUSALS.items():
                _refusal(row, name, arguments, expected)
            _devices(row)
        finally:
            os.chdir(before)
    return row | {"ok": not row["problems"]}


def _refusal(row: dict[str, Any], name: str, arguments: list[str], expected: tuple[str, ...]) -> None:
    code, _, err = _run(arguments)
    row["messages"][name] = err.strip()[-2000:]
    missing = [part for part in expected if part not in err]
    if code != 1 or not err.startswith("error: ") or err.count("\n") != 1 or missing:
        row["problems"].append(f"{name}: code {code}, missing {missing}, {err.count(chr(10))} lines")


def _devices(row: dict[str, Any]) -> None:
    code, out, err = _run(["device"])
    row["messages"]["cafx device"] = out.strip()[-2000:]
    if code != 0 or "GiB" not in out:
        row["problems"].append(f"cafx device: code {code}: {err.strip()[-500:]}")


def _run(arguments: list[str]) -> tuple[int, str, str]:
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = run(arguments)
    return code, out.getvalue(), err.getvalue()
