"""Snapshots: saving and restoring the state of training, so that a resumed run equals an uninterrupted one."""

from __future__ import annotations

import logging
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from cafx.kernel.errors import CafxError
from cafx.kernel.files import shown
from cafx.kernel.net import BlobValues, Copied, Net, TrainingState, format_named, format_of, learnable, read_weights
from cafx.kernel.schema import SolverParameter
from cafx.kernel.training.hooks import Training
from cafx.kernel.training.update import plain_history, restore_history

DEFAULT_PREFIX = "snapshot"
log = logging.getLogger("cafx.solver")


def prefix_of(options: Any, source: Path | None) -> Path:
    """The path prefix of snapshot files.

    The default is the path of the solver's file without its suffix. If snapshot_prefix is a folder or ends in a slash,
    the name of the solver's file is appended.

    Args:
        options: the SolverParameter.
        source: path of the solver's file.
    """
    name = source.stem if source else DEFAULT_PREFIX
    if options.snapshot_prefix:
        prefix = Path(options.snapshot_prefix)
        is_folder = options.snapshot_prefix.endswith("/") or os.path.isdir(prefix)  # noqa: PTH112 - pathlib refuses a long name
        return prefix / name if is_folder else prefix
    return source.with_suffix("") if source else Path(name)


def check_prefix(prefix: Path, source: Path | None) -> None:
    """Check, before training, that snapshots can be written, and make missing folders.

    Args:
        prefix: the path prefix of snapshot files.
        source: path of the solver's file, for errors.

    Raises:
        CafxError: the folder cannot be made, or is not writable.
    """
    with suppress(OSError, ValueError):
        prefix.parent.mkdir(parents=True, exist_ok=True)
    if not (os.path.isdir(prefix.parent) and os.access(prefix.parent, os.W_OK)):  # noqa: PTH112 - as above
        remedy = "set snapshot_prefix to a path in a folder that can be written"
        where = str(source or "solver")
        raise CafxError(f"snapshots cannot be written to '{shown(prefix.parent)}'", where=where, remedy=remedy)


def write(solver: Training) -> tuple[Path, Path]:
    """Save the weights, then the state that refers to them.

    Returns:
        The paths of the weights file and of the state file.

    Raises:
        CafxError: a file cannot be written.
    """
    options = solver.options
    writer = format_named(SolverParameter.SnapshotFormat(options.snapshot_format).name, solver.plugins)
    stem = f"{solver.prefix}_iter_{solver.iter}"
    weights = Path(f"{stem}.caffemodel{writer.suffix}")
    state = Path(f"{stem}.solverstate{writer.suffix}")
    net, exact = solver.net, _exact(solver)
    if not solver.replicas.is_root:
        return weights, state
    writer.write_weights(weights, net.to_proto(), net.weights(options.snapshot_diff))
    history = [BlobValues(array.shape, array.reshape(-1)) for array in plain_history(solver.update)]
    step = solver.policy.step(max(0, solver.iter - 1))  # as of the last update
    writer.write_state(state, TrainingState(solver.iter, str(weights), history, step, exact))
    return weights, state


def restore(solver: Training, path: Path) -> None:
    """Restore a solver from a solverstate file and the weights it refers to: all of it, or nothing.

    Raises:
        CafxError: a file is missing or damaged, or belongs to another net or solver type.
    """
    state = format_of(path, solver.plugins).read_state(path)
    history = [np.asarray(blob.data).reshape(blob.shape) for blob in state.history]
    weights = _find_weights(Path(state.learned_net), path)
    _check_complete(solver.net, {each.name for each in read_weights(weights, solver.plugins) if each.blobs}, weights)
    exact, nets = state.exact or {}, (solver.net, *solver.test_nets)
    before = [net.state() for net in nets], [np.array(each) for each in plain_history(solver.update)]
    try:
        restore_history(solver.update, history, str(path))
        own = solver.replicas.own_state(exact)
        for net, saved in zip(nets, [own, *exact["nets"][1:]] if own else (), strict=False):
            net.restore(saved)
        solver.policy.restore(exact.get("policy", {}))
        solver.net.copy_from(weights)
    except Exception as error:
        for net, saved in zip(nets, before[0], strict=True):
            net.restore(saved)
        restore_history(solver.update, before[1], str(path))
        foreign = CafxError(f"does not fit this net: {error}", where=str(path))  # an error of a layer's own
        raise error if isinstance(error, CafxError) else foreign from error
    _tell_of_other_engine(path, exact.get("engine", {}), _engine(solver))
    solver.iter, solver.losses = state.iter, list(map(float, exact.get("losses", solver.losses)))


def start_from_weights(solver: Training) -> list[Copied]:
    """Copy the weights files of the solver's option ``weights`` into all nets.

    Returns:
        For each file, which layers of the training net were copied.

    Raises:
        CafxError: a file is missing or damaged, or its shapes do not match.
    """
    names = [name.strip() for text in solver.options.weights for name in text.split(",")]
    copied = []
    for name in filter(None, names):
        sibling = solver.source.parent / name if solver.source else Path(name)
        there, beside = map(os.path.exists, (name, sibling))  # pathlib raises where a name is too long
        path = sibling if beside and not there else Path(name)
        copied.append(solver.net.copy_from(path))
        for net in solver.test_nets:
            net.copy_from(path)
    return copied


def _check_complete(net: Net, present: set[str], weights: Path) -> None:
    """Check that the weights contain all learnable layers."""
    learning = {net.layer_names[parameter.layer]: None for parameter in learnable(net.parameters)}
    missing = [name for name in learning if name not in present]
    if missing:
        remedy = "resume with the same net; to fine-tune another net, use --weights"
        found = f"no layer {', '.join(missing)}"
        raise CafxError("the weights belong to another net", where=str(weights), found=found, remedy=remedy)


def _exact(solver: Training) -> dict[str, Any]:
    nets = [net.state() for net in (solver.net, *solver.test_nets)]
    policy, ranks = solver.policy.state(), solver.replicas.states()
    several = {"ranks": ranks} if len(ranks) > 1 else {}
    return {
        "losses": solver.losses,
        "nets": nets,
        "engine": _engine(solver),
        **({"policy": policy} if policy else {}),
        **several,
    }


def _engine(solver: Training) -> dict[str, str | int]:
    """What the bits of a sum depend on."""
    engine = solver.net.engine
    return {"engine": engine.name, "precision": engine.precision, "threads": engine.threads}


def _tell_of_other_engine(path: Path, saved: dict[str, str | int], present: dict[str, str | int]) -> None:
    """Warn that a training goes on with another engine, precision or number of threads, which rounds otherwise."""
    other = [name for name, value in present.items() if saved.get(name, value) != value]
    if other:
        written, now = (", ".join(f"{name} {each[name]}" for name in other) for each in (saved, present))
        log.warning("%s was written with %s, not %s: the training goes on, but not bit for bit", path, written, now)


def _find_weights(learned: Path, state: Path) -> Path:
    """The weights of a state: the path it states, that name in its own folder, or its own name if renamed."""
    sibling = state.parent / learned.name
    namesake = state.with_name(state.name.replace(".solverstate", ".caffemodel"))
    candidates = [learned, sibling] + ([namesake] if namesake != state else [])
    weights = next(filter(os.path.isfile, candidates), None)
    if weights is None:
        remedy = f"copy {learned.name} to the folder of the state"
        raise CafxError(f"its weights file is missing: {learned}", where=str(state), remedy=remedy)
    return weights
