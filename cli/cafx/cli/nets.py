"""Loading and building the net that a prototxt or net.py defines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs

from cafx.cli.diagnostics import silence_overflow
from cafx.cli.files import NET, SOLVER, is_python, is_solver, load_python_file, parses_as
from cafx.cli.options import EngineChoice
from cafx.kernel import CafxError, Net, Phase, UnknownNameError, registry, schema
from cafx.kernel.net import (
    LayerDefinition,
    NetDefinition,
    NetState,
    filter_layers,
    find_layer,
    insert_splits,
    is_trusted,
    read_net,
)
from cafx.kernel.training import net_sources, read_solver

NOT_LOADED = "not loaded"


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
        settings: further keywords of `cafx.kernel.Net`: precision, threads, device, seed, keep, trust, …

    Raises:
        CafxError: the net is invalid, or a weights file has none of its layers; or it is not trusted, and has layers
            that run code which its prototxt names.
    """
    silence_overflow()
    state = Phase[phase.upper()]
    settings |= {"trust": settings.get("trust") or is_python(path)}
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


@attrs.frozen
class Inspected:
    """A net to look at: of a stranger's prototxt, no code is run, and what depends on that code is not known.

    Attributes:
        net: the layers that are known.
        definition: all layers.
        left_out: the layers that are not known, by index, and why.
    """

    net: Net
    definition: NetDefinition
    left_out: dict[int, str]

    @property
    def not_loaded(self) -> dict[int, str]:
        """Those of them that run code themselves."""
        return {index: reason for index, reason in self.left_out.items() if reason.startswith(NOT_LOADED)}


def inspect_net(
    path: str,
    phase: str,
    *,
    trust: bool = False,
    engine: EngineChoice | None = None,
    level: int = 0,
    stage: Sequence[str] = (),
    **settings: Any,
) -> Inspected:
    """Build the part of a net that can be built without running code which its prototxt names.

    Args:
        path: prototxt of a net or solver, or a net.py, which is a program and is run.
        phase: ``"TRAIN"`` or ``"TEST"``.
        trust: run that code, and leave out nothing.
        engine: the command line's choice.
        level, stage: the rest of the state that include and exclude rules are matched against.
        settings: further keywords of `cafx.kernel.Net`.

    Raises:
        CafxError: the net is invalid.
    """
    silence_overflow()
    definition = net_definition(path, phase, level=level, stage=stage)
    trust = is_trusted(trust=trust or is_python(path))
    left_out = {} if trust else unknown_layers(definition)
    known = [each for index, each in enumerate(definition.layers) if index not in left_out]
    part, state = attrs.evolve(definition, layers=known), Phase[phase.upper()]
    chosen = engine.keywords() if engine else {}
    net = Net(part, state, level=level or None, stages=stage, trust=trust, **chosen, **settings)
    return Inspected(net, definition, left_out)


def unknown_layers(definition: NetDefinition) -> dict[int, str]:
    """The layers that run code which a net's definition names, and those behind them, by index, and why.

    Args:
        definition: the net, with splits inserted.

    Raises:
        CafxError: the plugin of a layer cannot be used.

    Example:
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" }
        ... layer { name: "mine" type: "Python" bottom: "x" top: "y" python_param { module: "a" layer: "B" } }
        ... layer { name: "relu" type: "ReLU" bottom: "y" top: "z" }'''
        >>> unknown_layers(read_net(schema().parse_text(text, NET), registry()))
        {1: "not loaded: Python layer 'a.B' (use --trust)", 2: "behind layer 'mine'"}
    """
    reasons: dict[int, str] = {}
    origins: dict[str, str] = {}
    for index, layer in enumerate(definition.layers):
        code = _named_code(layer)
        origin = layer.proto.name if code else next((origins[x] for x in layer.proto.bottom if x in origins), None)
        if origin is not None:
            reasons[index] = f"{NOT_LOADED}: {code} (use --trust)" if code else f"behind layer '{origin}'"
            origins.update(dict.fromkeys(layer.proto.top, origin))
    return reasons


def _named_code(layer: LayerDefinition) -> str | None:
    """The code that a layer names and runs, or None; an unknown type, which a net refuses, is none that does."""
    if layer.proto.type not in registry().names("layer"):
        return None
    layer_class: Any = find_layer(layer, registry())
    return str(layer_class.named_code(layer.proto)) if hasattr(layer_class, "named_code") else None


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
