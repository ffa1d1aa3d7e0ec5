"""The checklist of data layers, which they meet besides that of layers.

>>> from cafx.conformance import plugin_suite
>>> TestData = plugin_suite("data", "Data")
"""

from __future__ import annotations

import copy
import os
import shutil
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import attrs

from cafx.conformance.cases import Case
from cafx.conformance.harness import SEED, net_of
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import TEST, TRAIN, CafxError, Net, Phase
from cafx.kernel.net import Communicator

KIND = "data"
GARBAGE = bytes(range(256)) * 8
SECONDS = 5.0
"""How long threads may take to end."""
NETS, RANKS, EPOCHS = 3, 2, 2
Record = tuple[bytes, ...]


@attrs.frozen(init=False)
class DataCase(Case):
    """A case of a data layer that says what is in its source.

    Without random transformations, so that a record is the same whenever it is read.

    Args:
        name, options, layer, tops, phase, skip: see `cafx.conformance.Case`.
        records: the number of records in an epoch.
        shuffle: options that make the layer shuffle; none if it cannot. Here and below, those of a message of
            LayerParameter are a mapping under its field's name.
        unordered: why there is no order of records, such as a layer that draws them at random.
        damaged: writes a source with a damaged record into an empty folder, and returns the options that name it.
    """

    records: int = 0
    shuffle: Mapping[str, Any] = attrs.field(factory=dict)
    unordered: str = ""
    damaged: Callable[[Path], Mapping[str, Any]] | None = None

    def __init__(
        self,
        name: str,
        *,
        options: Mapping[str, Any],
        records: int = 0,
        shuffle: Mapping[str, Any] | None = None,
        unordered: str = "",
        damaged: Callable[[Path], Mapping[str, Any]] | None = None,
        **others: Any,
    ) -> None:
        plain = Case(name, options=options, **others)
        given = [getattr(plain, field.name) for field in attrs.fields(Case)]
        self.__attrs_init__(*given, records, dict(shuffle or {}), unordered, damaged)  # type: ignore[call-arg]


class Rank(Communicator):
    """One of several processes, of which the others are not there: data layers do not exchange anything."""

    size = RANKS

    def __init__(self, rank: int) -> None:
        self.rank = rank


@attrs.frozen
class PathOption:
    """An option whose value is the path of a file or folder.

    Attributes:
        message: the field of LayerParameter that it is in; empty for the layer's own options.
        name: the option.
        text: its value.
    """

    message: str
    name: str
    text: str

    @property
    def path(self) -> Path:
        """The path."""
        return Path(self.text)

    def replaced(self, path: Path) -> dict[str, Any]:
        """Options with another path; a slash at the end, of a prefix, is kept."""
        value = str(path) + (os.sep if self.text.endswith(os.sep) else "")
        return {self.message: {self.name: value}} if self.message else {self.name: value}


def paths_of(case: Case) -> list[PathOption]:
    """The options whose values are paths of files and folders."""
    nested = [(message, each) for message, each in case.layer.items() if isinstance(each, Mapping)]
    found = [
        PathOption(message, name, value)
        for message, options in [("", case.options), *nested]
        for name, value in options.items()
        if isinstance(value, str) and os.sep in value
    ]
    return [each for each in found if each.path.exists()]


def changed(case: Case, options: Mapping[str, Any]) -> Case:
    """A case with other options; those of a message of LayerParameter are given as a mapping under its field's name."""
    nested = {name: value for name, value in options.items() if isinstance(value, Mapping)}
    own = {name: value for name, value in options.items() if name not in nested}
    layer = {**case.layer, **{name: {**case.layer.get(name, {}), **value} for name, value in nested.items()}}
    return attrs.evolve(plain(case), options={**case.options, **own}, layer=layer)


def ordered(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases that state the number of their records."""
    if not isinstance(case, DataCase):
        return "no DataCase states its records"
    return case.unordered or (None if case.records else "the case states no number of records")


def shuffling(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases that can be shuffled."""
    reason = ordered(subject, case)
    return reason or (None if getattr(case, "shuffle", None) else "the case states no options that shuffle")


def reads_files(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases, or plugins with a case, whose options name a file."""
    cases = [case] if isinstance(case, Case) else [each for each in subject.cases if isinstance(each, Case)]
    return None if any(paths_of(each) for each in cases) else "no option is the path of a file"


def states_damage(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases that write a source with a damaged record."""
    return None if isinstance(case, DataCase) and case.damaged else "the case writes no damaged record"


@contextmanager
def built(
    subject: Subject, case: Case, options: Mapping[str, Any] | None = None, phase: Phase = TRAIN, **settings: Any
) -> Iterator[Net]:
    """A net of the layer alone, closed at the end."""
    proto = net_of(subject.type, changed(case, options or {}), subject.plugins)
    given = {"seed": SEED, "engine": "numpy", "trust": True, "plugins": subject.plugins, **settings}
    with Net(proto, phase, **given) as net:
        yield net


def plain(case: Case) -> Case:
    """A case without what only this checklist reads; attrs cannot copy a class with an __init__ of its own."""
    return _Plain(*(getattr(case, field.name) for field in attrs.fields(Case)))


@attrs.frozen
class _Plain(Case):
    """A `Case` with the generated ``__init__``."""


def batch(net: Net) -> list[Record]:
    """The records of the next batch: for each, the bytes of its part of each top."""
    net.run_forward()
    arrays = [top.host() for top in net.tops[-1]]
    arrays = [each for each in arrays if len(each) == len(arrays[0])]
    return [tuple(array[index].tobytes() for array in arrays) for index in range(len(arrays[0]))]


def read(net: Net, count: int) -> list[Record]:
    """At least this many records."""
    found: list[Record] = []
    while len(found) < count:
        found += batch(net)
    return found


@check("records", "a case states how many records its source has", kind=KIND, per_case=False, applies=reads_files)
def records(subject: Subject) -> None:
    stated = [each for each in subject.cases if isinstance(each, DataCase) and (each.records or each.unordered)]
    if not stated:
        raise CheckFailure("no case is a DataCase with records: nothing can be checked about epochs")


@check("epochs", "each epoch has every record once, in the same order", kind=KIND, applies=ordered)
def epochs(subject: Subject, case: DataCase) -> None:
    with built(subject, case) as net:
        found = read(net, EPOCHS * case.records)
    first = found[: case.records]
    if len(set(first)) != case.records:
        raise CheckFailure(f"the first epoch has {len(set(first))} different records, not {case.records}")
    for index, record in enumerate(found):
        if record != first[index % case.records]:
            raise CheckFailure(f"record {index} is not record {index % case.records} again: epochs differ")


@check(
    "shuffled",
    "shuffled epochs have every record once; their order follows from the seed",
    kind=KIND,
    applies=shuffling,
)
def shuffled(subject: Subject, case: DataCase) -> None:
    def order(seed: int) -> list[Record]:
        with built(subject, case, case.shuffle, seed=seed) as net:
            return read(net, EPOCHS * case.records)[: EPOCHS * case.records]

    with built(subject, case) as net:
        expected = sorted(read(net, case.records)[: case.records])
    found = order(SEED)
    parts = [found[index : index + case.records] for index in range(0, len(found), case.records)]
    for number, part in enumerate(parts):
        if sorted(part) != expected:
            raise CheckFailure(f"shuffled epoch {number} does not have every record once")
    if parts[0] == parts[1]:
        raise CheckFailure("two shuffled epochs have the same order")
    if order(SEED) != found:
        raise CheckFailure("equal seeds give other orders")
    if order(SEED + 1) == found:
        raise CheckFailure("another seed gives the same order")


@check("resume-epoch", "a layer restored in the middle of an epoch continues exactly", kind=KIND, applies=ordered)
def resume_epoch(subject: Subject, case: DataCase) -> None:
    for options in [{}, case.shuffle] if case.shuffle else [{}]:
        with built(subject, case, options) as net:
            batch(net)
            state = copy.deepcopy(net.state())
            expected = read(net, case.records)
        with built(subject, case, options, seed=SEED + 1) as net:
            net.restore(state)
            if read(net, case.records) != expected:
                raise CheckFailure(f"after restore in an epoch, other records follow (options {options})")


@check("missing-source", "a missing source is a CafxError that names it", kind=KIND, applies=reads_files)
def missing_source(subject: Subject, case: Case) -> None:
    for option in paths_of(case):
        path = option.path
        with tempfile.TemporaryDirectory(prefix="cafx-data-") as folder:
            missing = Path(folder, f"missing-{path.name}")
            require_error(subject, case, option.replaced(missing), missing.name)


@check("empty-source", "an empty source is a CafxError that names it", kind=KIND, applies=reads_files)
def empty_source(subject: Subject, case: Case) -> None:
    for option in paths_of(case):
        path = option.path
        with tempfile.TemporaryDirectory(prefix="cafx-data-") as folder:
            empty = Path(folder, f"empty-{path.name}")
            empty.mkdir() if path.is_dir() else empty.touch()
            require_error(subject, case, option.replaced(empty), empty.name)


@check("damaged-source", "a damaged source is a CafxError that names it", kind=KIND, applies=reads_files)
def damaged_source(subject: Subject, case: Case) -> None:
    for option in paths_of(case):
        path = option.path
        with tempfile.TemporaryDirectory(prefix="cafx-data-") as folder:
            damaged = Path(folder, f"damaged-{path.name}")
            if path.is_dir():
                shutil.copytree(path, damaged)
            else:
                damaged.touch()
            for file in [each for each in damaged.rglob("*") if each.is_file()] or [damaged]:
                file.write_bytes(GARBAGE)
            require_error(subject, case, option.replaced(damaged), damaged.name)


@check("damaged-record", "a damaged record is a CafxError that names its source", kind=KIND, applies=states_damage)
def damaged_record(subject: Subject, case: DataCase) -> None:
    assert case.damaged is not None
    with tempfile.TemporaryDirectory(prefix="cafx-data-") as folder:
        options = case.damaged(Path(folder))
        require_error(subject, case, options, Path(folder).name)


def require_error(subject: Subject, case: Case, options: Mapping[str, Any], name: str) -> None:
    """Raise CheckFailure unless building and reading an epoch is a CafxError that contains ``name``."""
    before = set(threading.enumerate())
    try:
        with built(subject, case, options) as net:
            for _ in range(max(1, getattr(case, "records", 0))):
                batch(net)
    except CafxError as error:
        if name not in str(error):
            raise CheckFailure(f"the error does not name '{name}': {error}") from None
    except Exception as error:
        raise CheckFailure(f"'{name}' raises {type(error).__name__} instead of a CafxError: {error}") from error
    else:
        raise CheckFailure(f"'{name}' is read without an error")
    require_ended(before, "after an error")


@check("threads", "a closed net has no thread and no open file left", kind=KIND)
def threads(subject: Subject, case: Case) -> None:
    if "resume" in case.skip:
        return  # such a case cannot run
    with built(subject, case) as net:
        net.run_forward()
    before, files = set(threading.enumerate()), open_files()
    for _ in range(NETS):
        with built(subject, case) as net:
            net.run_forward()
    require_ended(before, f"after {NETS} closed nets")
    if open_files() > files:
        raise CheckFailure(f"{open_files() - files} files are still open after {NETS} closed nets")


def require_ended(before: set[threading.Thread], what: str) -> None:
    """Raise CheckFailure if threads still run that were not there before, after some patience."""
    deadline = time.monotonic() + SECONDS
    while left := [each for each in threading.enumerate() if each not in before]:
        if time.monotonic() > deadline:
            raise CheckFailure(f"threads still run {what}: {', '.join(each.name for each in left)}")
        time.sleep(0.01)


def open_files() -> int:
    """The number of open files of this process; 0 where the system does not tell."""
    listed = Path("/proc/self/fd")
    return len(list(listed.iterdir())) if listed.is_dir() else 0


@check("phases", "records are the same in both phases", kind=KIND, applies=ordered)
def phases(subject: Subject, case: DataCase) -> None:
    found = []
    for phase in (TRAIN, TEST):
        with built(subject, case, phase=phase) as net:
            found.append(read(net, case.records))
    if found[0] != found[1]:
        raise CheckFailure("TRAIN and TEST read other records, though the case has no random transformation")


@check("dealt", "of R processes, process r reads records r, r + R, …", kind=KIND, applies=ordered)
def dealt(subject: Subject, case: DataCase) -> None:
    with built(subject, case) as net:
        size = len(batch(net))
    for options in [{}, case.shuffle] if case.shuffle else [{}]:
        with built(subject, case, options) as net:
            expected = read(net, 2 * RANKS * size)
        for rank in range(RANKS):
            with built(subject, case, options, communicator=Rank(rank)) as net:
                found = read(net, 2 * size)
            if found != expected[rank : RANKS * len(found) : RANKS]:
                raise CheckFailure(f"process {rank} of {RANKS} does not read every {RANKS}. record, from {rank}")
