"""Snapshots: what a training run must find again to go on as if it had never stopped."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel.errors import CafxError
from cafx.kernel.net import BlobValues, Copied, Net, TrainingState, format_named, format_of, learnable
from cafx.kernel.schema import SolverParameter
from cafx.kernel.training.hooks import Training
from cafx.kernel.training.update import plain_history, restore_history

DEFAULT_PREFIX = "snapshot"


def checked_prefix(options: Any, source: Path | None) -> Path:
    """The path snapshots' names begin with; CafxError at once if they could not be written.

    Without snapshot_prefix it is the solver file's name; a folder gets that name within it.
    """
    name = source.stem if source else DEFAULT_PREFIX
    if options.snapshot_prefix:
        prefix = Path(options.snapshot_prefix)
        prefix = prefix / name if prefix.is_dir() else prefix
    else:
        prefix = source.with_suffix("") if source else Path(name)
    wanted = options.snapshot or options.snapshot_after_train
    if wanted and not (prefix.parent.is_dir() and os.access(prefix.parent, os.W_OK)):
        raise CafxError(
            f"snapshots cannot be written to '{prefix.parent}'",
            where=str(source or "solver"),
            remedy="make that folder, or set snapshot_prefix to one that is there and writable",
        )
    return prefix


def write(solver: Training) -> tuple[Path, Path]:
    """Write weights, then the state that names them; returns both paths."""
    options = solver.options
    kind = SolverParameter.SnapshotFormat(options.snapshot_format).name
    writer = format_named(kind, solver.plugins)
    stem = f"{solver.prefix}_iter_{solver.iter}"
    weights = Path(f"{stem}.caffemodel{writer.suffix}")
    state = Path(f"{stem}.solverstate{writer.suffix}")
    net = solver.net
    writer.write_weights(weights, net.to_proto(), net.weights(options.snapshot_diff))
    history = [BlobValues(array.shape, array.reshape(-1)) for array in plain_history(solver.update)]
    step = solver.policy.step(max(0, solver.iter - 1))  # as of the last update
    writer.write_state(state, TrainingState(solver.iter, str(weights), history, step, _exact(solver)))
    return weights, state


def restore(solver: Training, path: Path) -> None:
    """Put a solver where the one stood that wrote ``path``."""
    state = format_of(path, solver.plugins).read_state(path)
    history = [np.asarray(blob.data).reshape(blob.shape) for blob in state.history]
    weights = _find_weights(Path(state.learned_net), path)
    restore_history(solver.update, history, str(path))
    _check_complete(solver.net, solver.net.copy_from(weights), weights)
    solver.iter = state.iter
    if state.exact:
        solver.losses = [float(loss) for loss in state.exact["losses"]]
        for net, held in zip((solver.net, *solver.test_nets), state.exact["nets"], strict=False):
            net.restore(held)


def start_from_weights(solver: Training) -> list[Copied]:
    """Copy what the option ``weights`` names into every net; returns what the training net took."""
    names = [name.strip() for text in solver.options.weights for name in text.split(",")]
    copied = []
    for name in filter(None, names):
        beside = solver.source.parent / name if solver.source else Path(name)
        path = beside if not Path(name).exists() and beside.exists() else Path(name)
        copied.append(solver.net.copy_from(path))
        for net in solver.test_nets:
            net.copy_from(path)
    return copied


def _check_complete(net: Net, copied: Copied, weights: Path) -> None:
    """CafxError where the weights lack a layer that learns: they are of another net."""
    learning = {net.layer_names[parameter.layer] for parameter in learnable(net.parameters)}
    missing = [name for name in copied.untouched if name in learning]
    if missing:
        raise CafxError(
            "the weights are of another net",
            where=str(weights),
            found=f"no layer {', '.join(missing)}",
            remedy="resume with the net they were trained with; to fine-tune another, use --weights",
        )


def _exact(solver: Training) -> dict[str, Any]:
    nets = [net.state() for net in (solver.net, *solver.test_nets)]
    return {"losses": solver.losses, "nets": nets}


def _find_weights(learned: Path, state: Path) -> Path:
    """The weights a state names, from here or beside it; else those of its own name, had it been renamed."""
    beside = state.parent / learned.name
    namesake = state.with_name(state.name.replace(".solverstate", ".caffemodel"))
    candidates = [learned, beside] + ([namesake] if namesake != state else [])
    named = next((path for path in candidates if path.is_file()), None)
    if named is None:
        raise CafxError(
            f"the weights it names are missing: {learned}", where=str(state), remedy=f"put {learned.name} beside it"
        )
    return named
