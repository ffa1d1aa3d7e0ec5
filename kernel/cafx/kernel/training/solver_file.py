"""Reading and checking a SolverParameter and the nets it refers to."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import attrs

from cafx.kernel.errors import CafxError
from cafx.kernel.net import Net, NetDefinition, NetState, engine_of_kind, filter_layers, read_net
from cafx.kernel.registry import Registry
from cafx.kernel.schema import Phase, SolverParameter, schema

MINIMA = {"average_loss": 1, "iter_size": 1, "max_iter": 0, "test_interval": 0, "snapshot": 0, "display": 0}
TRAIN_FIELDS = ("net", "net_param", "train_net", "train_net_param")


@attrs.frozen
class NetSource:
    """A net that a solver refers to.

    Attributes:
        source: path of its prototxt, or the NetParameter.
        state: the NetState message to build it for.
        plugins: where it finds layers.
        name: which of the solver's nets it is, for errors.
    """

    source: Any
    state: Any
    plugins: Registry
    name: str = "training net"

    def build(self, phase: Phase, split: int = 1, **settings: Any) -> Net:
        """Build the net for ``phase``; ``settings`` are further keywords of `Net`. Errors say which net it is.

        Who makes a solver runs its nets, so they are trusted.

        Args:
            phase: TRAIN or TEST.
            split: number of processes among which each data layer's batch is divided.
            settings: further keywords of `Net`.
        """
        level, stages = self.state.level, list(self.state.stage)
        try:
            source = self.source
            if split > 1:
                matched = NetState(phase, level, tuple(stages))
                source = with_split_batches(read_net(source, self.plugins), matched, split)
            return Net(source, phase, level=level, stages=stages, trust=True, plugins=self.plugins, **settings)
        except CafxError as error:
            error.message += f" (in the {', stage '.join([self.name, *stages])})"
            raise


def with_split_batches(definition: NetDefinition, state: NetState, ranks: int) -> NetDefinition:
    """A net whose data layers have a part of their batches.

    Args:
        definition: the net; its layers' options are changed.
        state: only those of layers that match it are.
        ranks: number of parts.

    Raises:
        CafxError: a batch cannot be divided evenly.
    """
    for layer in filter_layers(definition, state).layers:
        given = [value for field, value in layer.proto.ListFields() if field.message_type is not None]
        for options in given if not layer.proto.bottom else ():
            size = getattr(options, "batch_size", 0)
            if size % ranks:
                raise layer.error("its batch cannot be split", found=size, expected=f"a multiple of {ranks}")
            if size:
                options.batch_size = size // ranks
    return definition


def read_solver(path: str | Path, plugins: Registry) -> Any:
    """Read a SolverParameter from a prototxt file.

    Raises:
        CafxError: the file is unreadable or not valid.
    """
    return schema(plugins).read_text(path, "SolverParameter")


def check_options(options: Any, plugins: Registry, source: str | Path | None) -> Any:
    """Upgrade and check a SolverParameter.

    Args:
        options: the SolverParameter; not modified.
        plugins: where to find upgrades.
        source: path of its file, for errors.

    Returns:
        A copy in the current format.

    Raises:
        CafxError: an option is missing or out of range, or has a legacy format that cannot be upgraded.
    """
    where = str(source or "solver")
    checked = schema(plugins)["SolverParameter"]()
    checked.CopyFrom(options)
    for _, upgrader in plugins.usable("upgrade"):
        checked = upgrader().upgrade_solver(checked, where)
    if checked.HasField("solver_type"):
        remedy = f'write type: "...", or try: {plugins.install_line("cafx-upgrade-legacy")}'
        raise CafxError("solver_type is a legacy option", where=where, remedy=remedy)
    for field, minimum in MINIMA.items():
        value = getattr(checked, field)
        if value < minimum:
            raise CafxError(f"{field} is out of range", where=where, found=value, expected=f"at least {minimum}")
    if not checked.lr_policy:
        raise CafxError("lr_policy is not set", where=where, remedy='for example lr_policy: "fixed"')
    return checked


def net_sources(options: Any, source: Path | None, plugins: Registry) -> tuple[NetSource, list[NetSource]]:
    """The training net and the test nets of a solver.

    Args:
        options: the SolverParameter.
        source: path of its file; nets are looked up relative to the current and to its folder.
        plugins: where the nets find layers.

    Returns:
        The training net and the list of test nets.

    Raises:
        CafxError: there is not exactly one training net, or test_iter, test_interval or test_state do
            not match the test nets.
    """
    where = str(source or "solver")
    given = [field for field in TRAIN_FIELDS if options.HasField(field)]
    if len(given) != 1:
        raise CafxError(
            "more than one training net" if given else "no training net",
            where=where,
            found=", ".join(given) or None,
            expected="one of " + ", ".join(TRAIN_FIELDS),
        )
    train = _source(getattr(options, given[0]), source)
    tests = [_source(each, source) for each in (*options.test_net_param, *options.test_net)]
    generic = max(0, len(options.test_iter) - len(tests)) if given[0] in ("net", "net_param") else 0
    tests += [train] * generic
    _check_tests(options, len(tests), where)
    states = list(options.test_state) or [schema(plugins)["NetState"]()] * len(tests)
    numbered = enumerate(zip(tests, states, strict=True))
    test_sources = [NetSource(*each, plugins, f"test net {number}") for number, each in numbered]
    return NetSource(train, options.train_state, plugins), test_sources


def engine_of_mode(
    options: Any, plugins: Registry, source: str | Path | None = None
) -> tuple[str | None, int, str | None]:
    """The engine that ``solver_mode`` asks for, and the device that ``device_id`` names.

    An engine chosen by `set_engine` or CAFX_ENGINE is left alone.

    Args:
        options: the SolverParameter.
        plugins: where engines are found.
        source: path of its file, for errors.

    Returns:
        The engine's name, or None for the default; the index of its device; and, where the solver asks for
        a GPU and there is none, a notice of that, else None.

    Raises:
        CafxError: there is no GPU, and CAFX_STRICT_MODE is 1.

    Example:
        >>> from cafx.kernel import registry
        >>> options = schema().parse_text("device_id: 1", "SolverParameter")
        >>> engine_of_mode(options, registry())
        (None, 1, None)
    """
    if not options.HasField("solver_mode"):
        return None, options.device_id, None
    mode = SolverParameter.SolverMode(options.solver_mode)
    gpu = mode is SolverParameter.SolverMode.GPU
    try:
        name, notice = engine_of_kind(plugins, gpu=gpu, asked=f"solver_mode: {mode.name}")
    except CafxError as error:
        error.at(str(source or "solver"))
        raise
    return name, options.device_id, f"{notice}; training on the CPU" if notice else None


def _check_tests(options: Any, nets: int, where: str) -> None:
    if len(options.test_iter) != nets:
        raise CafxError(
            "wrong number of 'test_iter'",
            where=where,
            found=f"{len(options.test_iter)} for {nets} test nets",
            remedy="set one test_iter per test net",
        )
    if nets and options.test_interval <= 0:
        message = f"test_iter is set but test_interval is {options.test_interval}"
        raise CafxError(message, where=where, remedy="set test_interval, or clear test_iter")
    if any(batches <= 0 for batches in options.test_iter):
        raise CafxError("test_iter is out of range", where=where, found=list(options.test_iter), expected="at least 1")
    if options.test_state and len(options.test_state) != nets:
        raise CafxError(
            "wrong number of 'test_state'",
            where=where,
            found=len(options.test_state),
            expected=f"none, or one per test net ({nets})",
        )


def _source(net: Any, solver: Path | None) -> Any:
    """Resolve a net's path relative to the current folder or, failing that, to the solver's folder."""
    if not isinstance(net, str) or os.path.exists(net) or solver is None:  # noqa: PTH110 - pathlib raises where a name is too long
        return net
    sibling = solver.parent / net
    return str(sibling) if os.path.exists(sibling) else net  # noqa: PTH110 - as above
