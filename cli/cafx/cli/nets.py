"""Loading and building the net that a prototxt or net.py defines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from cafx.cli.diagnostics import silence_overflow
from cafx.cli.files import NET, SOLVER, is_python, is_solver, load_python_file, parses_as
from cafx.cli.options import EngineChoice
from cafx.kernel import CafxError, Net, Phase, UnknownNameError, registry, schema
from cafx.kernel.net import NetDefinition, NetState, filter_layers, insert_splits, read_net
from cafx.kernel.training import net_sources, read_solver


def build_net(
    path: str,
    phase: str,
    *,
    engine: EngineChoice | str | None = None,
    level: int = 0,
    stage: Sequence[str] = (),
    weights: Sequence[str] = (),
    **settings: Any,
) -> Net:
    """Build the net that ``path`` defines.

    Args:
        path: prototxt of a net or solver, or a net.py.
        phase: ``"TRAIN"`` or ``"TEST"``.
        engine: the command line's choice, or an engine's name.
        level, stage: the rest of the state that include and exclude rules are matched against.
        weights: weights files to load.
        settings: further keywords of `cafx.kernel.Net`: precision, threads, device, seed, keep, …

    Raises:
        CafxError: the net is invalid, or a weights file has none of its layers.
    """
    silence_overflow()
    state = Phase[phase.upper()]
    chosen = engine.keywords() if isinstance(engine, EngineChoice) else {"engine": engine}
    net = Net(load_net(path, state), state, level=level or None, stages=stage, **{**chosen, **settings})
    for name in weights:
        if not net.copy_from(name).filled and net.params:
            net.close()
            expected = ", ".join(list(net.params)[:5])
            raise CafxError("contains no layer of this net", where=name, expected=f"layers such as {expected}")
    return net


def net_definition(path: str, phase: str, *, level: int = 0, stage: Sequence[str] = ()) -> NetDefinition:
    """The layers of a net after filtering by state and inserting splits; nothing is built.

    Args:
        path: prototxt of a net or solver, or a net.py.
        phase: ``"TRAIN"`` or ``"TEST"``.
        level, stage: the rest of the state that include and exclude rules are matched against.
    """
    state = Phase[phase.upper()]
    definition = read_net(load_net(path, state), registry())
    declared = definition.proto.state
    full_state = NetState(state, level or declared.level, (*declared.stage, *stage))
    return insert_splits(filter_layers(definition, full_state), registry())


def load_net(path: str, phase: Phase) -> Any:
    """A source for `cafx.kernel.Net`: the path of a net's prototxt, or the net of a net.py or solver."""
    if is_python(path):
        message = load_python_file(path)
        return _net_of_solver(message, path, phase) if is_solver(message) else message
    try:
        schema().read_text(path, NET)
    except UnknownNameError:
        if not parses_as(path, SOLVER):
            raise
        return _net_of_solver(read_solver(path, registry()), path, phase)
    return path


def _net_of_solver(solver: Any, path: str, phase: Phase) -> Any:
    """The training net, or in TEST phase the first test net."""
    train, tests = net_sources(solver, Path(path), registry())
    return (tests[0] if phase is Phase.TEST and tests else train).source
