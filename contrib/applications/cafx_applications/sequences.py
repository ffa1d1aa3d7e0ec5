"""Sequences: time steps as rows of HDF5 files, and recurrent nets that are run one step at a time."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel import Net
from cafx_lib_hdf5 import writing

ROWS = 1000
"""Rows per addition to a file, and so per chunk of it."""
States = dict[str, npt.NDArray[np.float32]]
STATES = {"h_0": "h", "c_0": "c"}
"""An LSTM's initial states, and the final ones that take their place in the next step."""


def write_rows(path: Path, datasets: Callable[[], Mapping[str, npt.ArrayLike]], *, replace: bool = False) -> str:
    """Write arrays of rows as an HDF5 file, unless it exists, and a text file that lists it.

    Args:
        path: the HDF5 file.
        datasets: returns the arrays by name, one row per element of the first axis. It is called only if the file
            is written.
        replace: write the file even if it exists, since its contents may have changed.

    Returns:
        The list's path relative to the current folder, as an HDF5Data layer's ``source`` takes it.
    """
    if replace or not path.exists():
        arrays = {name: np.asarray(rows, np.float32) for name, rows in datasets().items()}
        with writing(path) as file:
            for name, rows in arrays.items():
                for start in range(0, len(rows), ROWS):
                    file.append(name, rows[start : start + ROWS])
    listing = path.with_name(f"{path.stem}_list.txt")
    listing.write_text(f"{os.path.relpath(path)}\n")
    return os.path.relpath(listing)


def time_major(sequences: npt.ArrayLike, streams: int) -> npt.NDArray[Any]:
    """Put batches of sequences side by side, as recurrent layers read them.

    A batch of T rows of the result is T×N: N sequences of T steps.

    Args:
        sequences: count × T × ….
        streams: N, the sequences per batch; it divides count.

    Returns:
        (count / N · T) × N × ….

    Example:
        >>> time_major([["a1", "a2"], ["b1", "b2"], ["c1", "c2"], ["d1", "d2"]], 2).tolist()
        [['a1', 'b1'], ['a2', 'b2'], ['c1', 'd1'], ['c2', 'd2']]
    """
    array = np.asarray(sequences)
    steps, rest = array.shape[1], array.shape[2:]
    batches = array.reshape(-1, streams, steps, *rest)
    return batches.swapaxes(1, 2).reshape(-1, streams, *rest)


def continuation(count: int, steps: int) -> npt.NDArray[np.float32]:
    """Continuation markers of sequences, count × T: 0 at the first step, else 1."""
    markers = np.ones((count, steps), np.float32)
    markers[:, 0] = 0
    return markers


class OneStep:
    """A recurrent net that is run one step at a time; its states are carried from outputs to inputs.

    Args:
        net: has an input and an output per state, as a layer with ``expose_hidden`` does, and an output ``prob``,
            1×N×….
        states: the output for each input of a state.

    Example:
        >>> from cafx.dsl import NetSpec, layers as L
        >>> n = NetSpec("sum")
        >>> n.x, n.h_0 = L.Input(shape=[1, 1, 2], ntop=2)
        >>> n.h = L.Eltwise(n.x, n.h_0, operation="SUM")
        >>> n.prob = L.Softmax(n.h, axis=2)
        >>> step = OneStep(Net(n, engine="numpy"), {"h_0": "prob"})
        >>> probabilities, states = step(step.start(), x=[[[1, 1]]])
        >>> probabilities.tolist(), list(states)
        ([[0.5, 0.5]], ['h_0'])
    """

    def __init__(self, net: Net, states: Mapping[str, str] = STATES) -> None:
        self.net, self.states = net, states

    def start(self) -> States:
        """The states before the first step: 0."""
        return {name: np.zeros(self.net.blobs[name].shape, np.float32) for name in self.states}

    def __call__(self, states: States, **inputs: npt.ArrayLike) -> tuple[npt.NDArray[np.float32], States]:
        """One step.

        Args:
            states: what the step before returned, or `start`.
            inputs: the net's other inputs.

        Returns:
            ``prob``, N×…, and the states.
        """
        tops = self.net.forward(**inputs, **states)
        return tops["prob"][0], {name: tops[final] for name, final in self.states.items()}
