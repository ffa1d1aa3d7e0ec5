"""The checklist of communicators.

Ranks are threads of this process, or processes that the case starts; see `CommunicatorCase`.

>>> from cafx.conformance import plugin_suite
>>> TestLocal = plugin_suite("communicator", "local")
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import attrs

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.ranks import digest, parts, program_of, results_of
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel.net import Communicator

KIND = "communicator"
SIZES = (1, 2)
SECONDS = 15.0
"""How long all ranks may take to end after one has aborted, with the time in which they start."""


@attrs.frozen
class CommunicatorCase:
    """How ranks are started on this machine.

    Args:
        name: a short name, unique among the communicator's cases.
        start: called with a number of ranks and a Python program; starts the program once per rank, with what the
            communicator needs, and returns what all have printed to standard output, and their exit codes or that of
            their launcher. The program makes the communicator by its name, without arguments.
        unavailable: returns why ranks cannot be started here; None if they can.
        sizes: numbers of ranks that are tried.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    start: Callable[[int, str], tuple[str, Sequence[int]]]
    unavailable: Callable[[], str | None] = lambda: None
    sizes: Sequence[int] = SIZES
    skip: Mapping[str, str] = attrs.field(factory=dict, eq=False)


common_checks(KIND, Communicator)


def can_start(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies where ranks can be started."""
    return case.unavailable() if isinstance(case, CommunicatorCase) else None


@functools.lru_cache(maxsize=8)
def exchanged(name: str, case: CommunicatorCase, size: int, run: int) -> list[dict[str, Any]]:
    """What each rank has got in one of several runs; see `cafx.conformance.kinds.ranks.exchanged`.

    Raises:
        CheckFailure: a rank has failed.
    """
    output, codes = case.start(size, program_of(name, "exchanged(ranks)"))
    found = results_of(output)
    if any(codes) or len(found) != size:
        told = f"exit codes {list(codes)}: {output.strip()[-300:]}"
        raise CheckFailure(f"of {size} ranks, {len(found)} end well; {told}")
    return sorted(found, key=lambda each: int(each["rank"]))


@check("name", "name is that of the entry point", kind=KIND, per_case=False)
def name(subject: Subject) -> None:
    if subject.thing.name != subject.type:
        raise CheckFailure(f"the class has name = {subject.thing.name!r}, its entry point is called {subject.type!r}")


def require(subject: Subject, case: CommunicatorCase, key: str, expected: Callable[[int, int], Any], what: str) -> None:
    """Raise CheckFailure unless every rank has got what is expected of a rank and a number of ranks."""
    for size in case.sizes:
        for rank, found in enumerate(exchanged(subject.type, case, size, 0)):
            if found[key] != expected(rank, size):
                raise CheckFailure(f"{what} on rank {rank} of {size}")


@check("ranks", "ranks are numbered from 0, and know how many they are", kind=KIND, applies=can_start)
def ranks_numbered(subject: Subject, case: CommunicatorCase) -> None:
    require(subject, case, "rank", lambda rank, _: rank, "wrong number")
    require(subject, case, "size", lambda _, size: size, "wrong number of ranks")


@check("allreduce", "allreduce and start_allreduce give the sum of all ranks' arrays", kind=KIND, applies=can_start)
def allreduce(subject: Subject, case: CommunicatorCase) -> None:
    for key in ("allreduce", "start_allreduce"):
        require(subject, case, key, lambda _, size: digest(sum(parts(size))), f"{key} does not give the sum")


@check("broadcast", "broadcast gives every rank the array of rank 0", kind=KIND, applies=can_start)
def broadcast(subject: Subject, case: CommunicatorCase) -> None:
    require(subject, case, "broadcast", lambda _, size: digest(parts(size)[0]), "another array than rank 0's")


@check("gather", "gather gives every rank the bytes of each, of any length, in order", kind=KIND, applies=can_start)
def gather(subject: Subject, case: CommunicatorCase) -> None:
    def expected(_: int, size: int) -> list[str]:
        return [f"{each}" * each * 1000 for each in range(size)]

    require(subject, case, "gather", expected, "other bytes than those of each rank")


@check("barrier", "barrier returns when all ranks have called it", kind=KIND, applies=can_start)
def barrier(subject: Subject, case: CommunicatorCase) -> None:
    require(subject, case, "waited", lambda rank, _: True, "barrier returns before the slowest rank has called it")


@check("deterministic", "all ranks get the same bits of a rounded sum, in every run", kind=KIND, applies=can_start)
def deterministic(subject: Subject, case: CommunicatorCase) -> None:
    size = max(case.sizes)
    runs = [[each["rounded"] for each in exchanged(subject.type, case, size, run)] for run in range(2)]
    if len(set(runs[0])) > 1:
        raise CheckFailure("ranks get different bits from one allreduce")
    if runs[0] != runs[1]:
        raise CheckFailure("a second run gives other bits")


@check("compression", "a compression that it does not have is a CafxError", kind=KIND, applies=can_start)
def compression(subject: Subject, case: CommunicatorCase) -> None:
    require(subject, case, "refused", lambda _, __: True, "an unknown compression is accepted")


def several(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases with several ranks."""
    reason = can_start(subject, case)
    return reason or ("one rank only" if isinstance(case, CommunicatorCase) and max(case.sizes) == 1 else None)


@check("abort", "abort ends all ranks within seconds, none of them with 0", kind=KIND, applies=several)
def abort(subject: Subject, case: CommunicatorCase) -> None:
    require_ended(subject, case, "aborted(ranks)", "abort on rank 1")


@check("lost", "if a rank dies, the others end by an error", kind=KIND, applies=several)
def lost(subject: Subject, case: CommunicatorCase) -> None:
    require_ended(subject, case, "died(ranks)", "the death of rank 1")


def require_ended(subject: Subject, case: CommunicatorCase, work: str, what: str) -> None:
    """Raise CheckFailure unless all ranks end soon, and not well, after one of them has."""
    begin = time.monotonic()
    output, codes = case.start(max(case.sizes), program_of(subject.type, work))
    if not all(codes) or results_of(output):
        raise CheckFailure(f"after {what}, another rank ends as if nothing had happened: exit codes {list(codes)}")
    if time.monotonic() - begin > SECONDS:
        raise CheckFailure(f"after {what}, the ranks end after {time.monotonic() - begin:.0f} s only")
