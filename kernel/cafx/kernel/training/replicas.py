"""Replicas: copies of a net that several processes train together, each on its own part of the data."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Mapping
from typing import Any

from google.protobuf import text_format

from cafx.kernel.errors import CafxError
from cafx.kernel.net import ALONE, Communicator, Net, Step, Update
from cafx.kernel.registry import Registry, registry

BUCKET_BYTES = 4 << 20
"""Gradients that are summed in one call while the backward pass goes on."""
OWN_OPTIONS = ("device_id",)
"""Options of a solver in which processes may differ."""
log = logging.getLogger("cafx.solver")


class Replicas:
    """This process's copy of a net, among those of a communicator.

    All start from the parameters of rank 0. In each iteration, every rank's gradients are summed over all ranks, and
    divided by the number of batches of all of them; so all have the same parameters at any time. Gradients are summed
    while the backward pass goes on, unless ``layer_wise_reduce: false`` says otherwise: parameters are ordered from
    the last layer to the first, so those that are complete are the beginning of the arena.

    Args:
        communicator: the processes.
        net: the training net.
        update: what updates its parameters.
        options: the SolverParameter.

    Raises:
        CafxError: the net, the solver or an installed version differs between processes.
    """

    def __init__(self, communicator: Communicator, net: Net, update: Update, options: Any) -> None:
        self.communicator, self._net = communicator, net
        self._pending: list[Callable[[], None]] = []
        self._done = self._complete = 0
        self._overlaps = communicator.overlaps and options.layer_wise_reduce
        if communicator.size == 1:
            return
        check_alike(communicator, facts(net, options))
        net.arena.synchronise()
        communicator.broadcast(net.arena.data)
        self._segments = net.arena.segments[::-1]
        update.ranks = communicator.size
        update.exchange = self._exchange

    @property
    def is_root(self) -> bool:
        """Whether this process writes snapshots, tests and reports."""
        return self.communicator.is_root

    def backward(self, *, last: bool) -> None:
        """Run the backward pass.

        Args:
            last: whether it is the last one of its iteration, after which gradients are complete.
        """
        if last and self._overlaps and self.communicator.size > 1 and self._net.observer is None:
            self._net.run_backward_by_step(self._start)
        else:
            self._net.run_backward()

    def _start(self, step: Step) -> None:
        """Begin to sum the gradients that are complete after a step, once they are enough for a call."""
        arena, stop = self._net.arena, self._done
        while self._complete < len(self._segments) and self._segments[self._complete].parameter.layer >= step.first:
            segment = self._segments[self._complete]
            segment.parameter.blob.synced_diff.write(segment.place)
            self._complete += 1
        if self._complete:
            stop = self._segments[self._complete - 1].stop
        if (stop - self._done) * arena.dtype.itemsize >= BUCKET_BYTES:
            self._sum(stop)

    def _sum(self, stop: int) -> None:
        part = self._net.arena.diff[self._done : stop]
        self._pending.append(self.communicator.start_allreduce(part))
        self._done = stop

    def _exchange(self) -> None:
        """Sum what is left, and wait for all."""
        arena = self._net.arena
        arena.synchronise()
        if self._done < arena.size:
            self._sum(arena.size)
        for wait in self._pending:
            wait()
        self._pending, self._done, self._complete = [], 0, 0

    def agree(self, wish: int) -> int:
        """The greatest of all ranks' wishes.

        Args:
            wish: a number from 0 to 255.
        """
        if self.communicator.size == 1:
            return wish
        return max(each[0] for each in self.communicator.gather(bytes([wish])))

    def mean(self, value: float) -> float:
        """The mean of all ranks' values."""
        values = [float(each) for each in self.communicator.gather(repr(value).encode())]
        return sum(values) / len(values)

    def states(self) -> list[Any]:
        """The random streams and layers' states of the training net of each rank."""
        gathered = self.communicator.gather(json.dumps(self._net.state()).encode())
        return [json.loads(each) for each in gathered]

    def own_state(self, exact: Mapping[str, Any]) -> Any:
        """What this rank restores of a snapshot that other ranks, or another number of them, have written.

        Args:
            exact: what is in the snapshot beside Caffe's own values.
        """
        states = exact.get("ranks") or exact.get("nets", ())[:1]
        if not states:
            return None
        if len(states) != self.communicator.size and self.is_root:
            log.warning("the snapshot is of %d processes; records are dealt to %d", len(states), self.communicator.size)
        if self.communicator.rank < len(states):
            return states[self.communicator.rank]
        return {**states[0], "streams": {"seed": states[0]["streams"]["seed"], "streams": {}}}


def make_communicator(name: str | None, plugins: Registry | None = None) -> Communicator:
    """The communicator of this name.

    Args:
        name: as a plugin of group ``cafx.communicators`` is called; None or "self" for this process alone.
        plugins: where it is found; by default the environment.

    Raises:
        CafxError: it is unknown, or cannot be used.
    """
    if name in (None, "", ALONE.name):
        return ALONE
    made: Communicator = (plugins or registry()).load("communicator", str(name))()
    return made


def shared_seed(communicator: Communicator, seed: int) -> int:
    """The seed of rank 0."""
    return int(communicator.gather(str(seed).encode())[0])


def facts(net: Net, options: Any) -> dict[str, str]:
    """What must be the same in all processes, by what it is called in errors."""
    kept = type(options)()
    kept.CopyFrom(options)
    for name in OWN_OPTIONS:
        kept.ClearField(name)
    used = {net.plugins.find("layer", layer.type) for layer in net.layers}
    versions = {f"version of {each.distribution}": each.version for each in used}
    layers = {f"layer '{layer.name}'": text_format.MessageToString(layer.spec) for layer in net.layers}
    data = {f"data of layer '{layer.name}'": layer.agreement() for layer in net.layers}
    lines = {f"solver option '{name}'": text for name, text in _options(kept).items()}
    communicator = net.context.communicator
    exchange = {
        "communicator": communicator.name,
        "statistics of BatchNorm": "of all processes" if communicator.syncs_statistics else "of each process",
        "compression of gradients": communicator.compression,
    }
    return {**versions, **layers, **data, **lines, **exchange, "engine": net.engine.name}


def _options(options: Any) -> dict[str, str]:
    return {field.name: str(value) for field, value in options.ListFields() if field.message_type is None}


def check_alike(communicator: Communicator, own: Mapping[str, str]) -> None:
    """Check that all processes have the same facts.

    Raises:
        CafxError: the first difference.
    """
    ranks: list[dict[str, str]] = [json.loads(each) for each in communicator.gather(json.dumps(own).encode())]
    for rank, other in enumerate(ranks):
        for name in dict.fromkeys([*ranks[0], *other]):
            one, two = (str(each.get(name, "none")).strip().replace("\n", " ") for each in (ranks[0], other))
            if one != two:
                raise CafxError(
                    f"processes disagree: {name}",
                    found=f"{two or 'none'} (rank {rank})",
                    expected=f"{one or 'none'} (rank 0)",
                    remedy="give all of them the same files, options and installed packages",
                )
