"""Golden cases: replay nets and compare the results with Caffe's.

A case consists of NAME.prototxt and NAME.npz; the README of the data explains the keys.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Net, Phase, Registry
from cafx.kernel.blob import Blob
from cafx.kernel.net import Engine

RELATIVE, ABSOLUTE = 1e-4, 1e-5
EXACT_TYPES = ("ArgMax", "Threshold")


class LayerCase:
    """One golden case of a layer.

    Args:
        path: the .npz file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        with np.load(path) as file:
            self.values = dict(file)

    @property
    def types(self) -> set[str]:
        """The layer types in the net."""
        text = self.path.with_suffix(".prototxt").read_text()
        return set(re.findall(r'(?m)^\s*type:\s*"(\w+)"', re.sub(r"filler\s*\{[^}]*\}", "", text)))

    def tree(self, prefix: str) -> dict[str, npt.NDArray[Any]]:
        """The values whose keys start with ``prefix``, by the rest of the key."""
        return {k[len(prefix) :]: v for k, v in self.values.items() if k.startswith(prefix)}

    def replay(self, engine: str | Engine | None = None, plugins: Registry | None = None) -> list[str]:
        """Run the case and return one line per difference."""
        self.wrong: list[str] = []
        phase = Phase[str(self.values["meta/phase"])]
        with inside(self.path.parent):
            self.net = Net(self.path.with_suffix(".prototxt").name, phase, engine=engine, plugins=plugins)
            self._run()
        return self.wrong

    def _run(self) -> None:
        net = self.net
        for key, value in self.tree("param/").items():
            _param(net, key).set_data(value)
        outputs = [str(name) for name in self.values["meta/outputs"]]
        if net.outputs != outputs:
            self.wrong.append(f"outputs: {net.outputs} instead of {outputs}")
        for iteration in range(int(self.values["meta/iters"])):
            self._forward("" if iteration == 0 else f"iter{iteration}/", iteration)
        if int(self.values["meta/backward"]):
            self._backward()

    def _forward(self, prefix: str, iteration: int) -> None:
        inputs: dict[str, Any] = dict(self.tree(prefix + "in/"))
        results = self.net.forward(**inputs)
        for name in self.tree(prefix + "out/"):
            self.compare(prefix + "out/" + name, results.get(name))
        for key in self.tree(prefix + "paramafter/"):
            self.compare(prefix + "paramafter/" + key, _param(self.net, key).host())
        losses = np.atleast_1d(self.values["meta/loss"])
        if iteration < losses.size:
            self.compare("meta/loss", np.asarray(self.net.loss), losses[iteration])

    def _backward(self) -> None:
        self.net.clear_param_diffs()
        for name, value in self.tree("topdiff/").items():
            self.net.blobs[name].mutable_diff[...] = self.net.context.xp.asarray(value)
        gradients = self.net.backward()
        for name in self.tree("indiff/"):
            self.compare("indiff/" + name, gradients.get(name))
        for key in self.tree("paramdiff/"):
            self.compare("paramdiff/" + key, _param(self.net, key).host_diff())

    def compare(self, key: str, result: Any, expected: Any = None) -> None:
        """Record a difference beyond the tolerance."""
        expected = self.values[key] if expected is None else expected
        difference = differs(result, expected)
        if difference:
            self.wrong.append(f"{key}: {difference}")


def differs(result: Any, expected: npt.ArrayLike, relative: float = RELATIVE, absolute: float = ABSOLUTE) -> str | None:
    """How two arrays differ, with tolerances relative to the largest value; None if they agree."""
    if result is None:
        return "missing"
    one, two = np.asarray(result, np.float64), np.asarray(expected, np.float64)
    if one.shape != two.shape:
        return f"shape {one.shape} instead of {two.shape}"
    if not one.size:
        return None
    error = np.atleast_1d(np.abs(one - two))
    error[np.atleast_1d(one == two) | np.atleast_1d(np.isnan(one) & np.isnan(two))] = 0
    allowed = absolute + relative * np.abs(two[np.isfinite(two)]).max(initial=0)
    worst = float(error.max())
    return None if worst <= allowed else f"differs by {worst:.3g}, allowed {allowed:.3g}"


@contextlib.contextmanager
def inside(folder: Path) -> Iterator[None]:
    """Make ``folder`` the working directory within a block: paths in cases are relative to it."""
    before = Path.cwd()
    os.chdir(folder)
    try:
        yield
    finally:
        os.chdir(before)


def _param(net: Net, key: str) -> Blob:
    layer, index = key.rsplit("/", 1)
    return net.params[layer][int(index)]
