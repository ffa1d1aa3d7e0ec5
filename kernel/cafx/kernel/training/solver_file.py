"""Reading and checking a SolverParameter, and finding the nets it names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.net import Net
from cafx.kernel.registry import Registry
from cafx.kernel.schema import Phase, schema

LEAST = {"average_loss": 1, "iter_size": 1, "max_iter": 0, "test_interval": 0, "snapshot": 0, "display": 0}
TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


@attrs.frozen
class NetSource:
    """A net a solver names: where it is and the state it is built for."""

    source: Any
    state: Any
    plugins: Registry

    def build(self, phase: Phase, **settings: Any) -> Net:
        """The net itself; ``settings`` are those of `Net`."""
        state = {"level": self.state.level, "stages": list(self.state.stage)}
        return Net(self.source, phase, **state, plugins=self.plugins, **settings)


def read_solver(path: str | Path, plugins: Registry) -> Any:
    """The SolverParameter in a prototxt file."""
    return schema(plugins).read_text(path, "SolverParameter")


def check_options(options: Any, plugins: Registry, source: str | Path | None) -> Any:
    """A copy of ``options`` in today's form, with contradictions refused."""
    where = str(source or "solver")
    checked = schema(plugins)["SolverParameter"]()
    checked.CopyFrom(options)
    for _, upgrader in plugins.usable("upgrade"):
        checked = upgrader.upgrade_solver(checked, where)
    if checked.HasField("solver_type"):
        remedy = "write type: \"...\", or try 'pip install cafx-upgrade-legacy'"
        raise CafxError("solver_type is the old way to name a solver", where=where, remedy=remedy)
    for field, least in LEAST.items():
        if getattr(checked, field) < least:
            raise CafxError(field, where=where, found=getattr(checked, field), expected=f"at least {least}")
    if not checked.lr_policy:
        raise CafxError("no lr_policy", where=where, remedy='write lr_policy: "fixed", say')
    return checked


def net_sources(options: Any, source: Path | None, plugins: Registry) -> tuple[NetSource, list[NetSource]]:
    """The training net and the test nets a SolverParameter names.

    Raises:
        CafxError: no training net or more than one; test_iter, test_interval or test_state that do
            not match the test nets.
    """
    where = str(source or "solver")
    stated = [field for field in TRAIN_FIELDS if options.HasField(field)]
    if len(stated) != 1:
        raise CafxError(
            "names no training net" if not stated else "names more than one training net",
            where=where,
            found=", ".join(stated) or None,
            expected="one of " + ", ".join(TRAIN_FIELDS),
        )
    train = _source(getattr(options, stated[0]), source)
    tests = [_source(each, source) for each in (*options.test_net_param, *options.test_net)]
    generic = max(0, len(options.test_iter) - len(tests)) if stated[0] in ("net", "net_param") else 0
    tests += [train] * generic
    _check_tests(options, len(tests), where)
    states = list(options.test_state) or [schema(plugins)["NetState"]()] * len(tests)
    found = [NetSource(*pair, plugins) for pair in zip(tests, states, strict=True)]
    return NetSource(train, options.train_state, plugins), found


def _check_tests(options: Any, nets: int, where: str) -> None:
    if len(options.test_iter) != nets:
        raise CafxError(
            "test_iter is stated once a test net",
            where=where,
            found=f"{len(options.test_iter)} for {nets} test nets",
            remedy="state test_iter for each test net, or name a net to test",
        )
    if nets and options.test_interval <= 0:
        raise CafxError("test_iter without a test_interval", where=where, expected="test_interval above 0")
    if any(batches <= 0 for batches in options.test_iter):
        raise CafxError("test_iter", where=where, found=list(options.test_iter), expected="above 0")
    if options.test_state and len(options.test_state) != nets:
        raise CafxError(
            "test_state is stated once a test net, or not at all",
            where=where,
            found=len(options.test_state),
            expected=f"0 or {nets}",
        )


def _source(named: Any, beside: Path | None) -> Any:
    """A net as the solver names it: a path from here or, failing that, from the solver's folder."""
    if not isinstance(named, str) or Path(named).exists() or beside is None:
        return named
    neighbour = beside.parent / named
    return str(neighbour) if neighbour.exists() else named
