"""What ``cafx test`` and other commands do with a net: build it, run it, average its outputs."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.cli.options import ignore_overflow
from cafx.cli.sources import load_net
from cafx.kernel import CafxError, Net, Phase, registry
from cafx.kernel.net import NetDefinition, NetState, filter_layers, insert_splits, read_net

Scores = list[tuple[str, float]]


def build(
    path: str, phase: str, *, engine: str | None = None, level: int = 0, stage: Sequence[str] = (),
    seed: int | None = None, weights: Sequence[str] = (), keep: str = "all",
) -> Net:  # fmt: skip
    """The net ``path`` describes, for a phase by name."""
    ignore_overflow()
    state = Phase[phase.upper()]
    net = Net(load_net(path, state), state, engine=engine, level=level, stages=stage, seed=seed, keep=keep)
    for name in weights:
        if not net.copy_from(name).filled and net.params:
            net.close()
            raise CafxError(
                "has no layer of this net", where=name, expected="layers such as " + ", ".join(list(net.params)[:5])
            )
    return net


def definition(path: str, phase: str, *, level: int = 0, stage: Sequence[str] = ()) -> NetDefinition:
    """The layers ``path`` describes for a phase by name, splits in place, before any is made."""
    state = Phase[phase.upper()]
    found = read_net(load_net(path, state), registry())
    stated = found.proto.state
    wanted = NetState(state, level or stated.level, (*stated.stage, *stage))
    return insert_splits(filter_layers(found, wanted), registry())


def loss_weights(net: Net) -> dict[str, float]:
    """What each blob counts in the objective, by name."""
    return net.loss_weights


def outputs(net: Net) -> Scores:
    """Run forward; every value of every output, with the output's name."""
    return [(name, float(x)) for name, value in net.forward().items() for x in value.reshape(-1)]


def summarise(batches: Sequence[Scores], losses: Sequence[float]) -> tuple[float, Scores]:
    """The mean objective, and the mean of each value over the batches."""
    means = [(values[0][0], sum(value for _, value in values) / len(values)) for values in zip(*batches, strict=True)]
    return sum(losses) / len(losses), means
