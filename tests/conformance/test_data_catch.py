"""Each check of the checklist of data layers catches a layer that violates its requirement."""

from __future__ import annotations

import tempfile
import threading
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from cafx.conformance import Case, load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.data import DataCase
from cafx.kernel import CafxError, Message, message, option
from cafx_lib_feed.layer import BatchLayer
from cafx_lib_feed.order import Order
from cafx_lib_feed.prefetch import Source

CHECKS = load_checks("data")
COUNT = 5
FOLDER = tempfile.TemporaryDirectory(prefix="cafx-numbers-")
NUMBERS = Path(FOLDER.name, "numbers.txt")
NUMBERS.write_text("\n".join(str(3 * index) for index in range(COUNT)))


@message("numbers_of_test_param")
class NumbersParameter(Message):
    """Options of Numbers."""

    source: str = option(None, "string", doc="text file of numbers, one per line")
    batch_size: int = option(None, "uint32", 2, doc="numbers per batch")
    shuffle: bool = option(None, "bool", False, doc="shuffle every epoch")


class Numbers(Source):
    """The numbers of a file."""

    workers = 1

    def __init__(self, options: Any, streams: Any, name: str) -> None:
        self.options, self.streams, self.name, self.batch_size = options, streams, name, options.batch_size
        self.values = self.read()
        self.epoch = len(self.values)
        self.file = Path(options.source).open()  # noqa: SIM115 - closed by `close`

    def read(self) -> list[float]:
        """All numbers."""
        path = self.options.source
        try:
            values = [float(line) for line in Path(path).read_text("ascii").split()]
        except (OSError, ValueError) as error:
            raise CafxError("cannot be read", where=path) from error
        if not values:
            raise CafxError("has no numbers", where=path)
        return values

    def order(self) -> Order:
        """The order of the records."""
        return Order(len(self.values), self.options.shuffle, self.streams, self.name)

    def seek(self, batch: int) -> None:
        """See `Source`."""
        self._order = self.order()

    def fetch(self, batch: int) -> Any:
        """See `Source`."""
        return self._order.numbers(self.first_item(batch, self.batch_size), self.batch_size, self.ranks)

    def fill(self, fetched: Any, number: int, batch: Any) -> None:
        """See `Source`."""
        batch.shape((self.batch_size,))[0][...] = np.array(self.values)[fetched]

    def close(self) -> None:
        """See `Source`."""
        self.file.close()


class NumbersOfTest(BatchLayer):
    """Batches of numbers from a text file."""

    Parameter = NumbersParameter
    tops = 1
    source_class: type[Numbers] = Numbers

    def make_source(self, top: list[Any]) -> Any:
        """Open the file."""
        return self.source_class(self.options, self.context.streams, self.name), [(self.options.batch_size,)]

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """In order, shuffled, damaged."""
        yield case()


def case(**given: Any) -> DataCase:
    """A case, with some arguments replaced."""
    settings = {"records": COUNT, "shuffle": {"shuffle": True}, "damaged": damaged, **given}
    return DataCase("numbers", options={"source": str(NUMBERS)}, **settings)


def damaged(folder: Path) -> dict[str, str]:
    """A file with a word among the numbers."""
    (folder / "numbers.txt").write_text("1\n2\nthree\n")
    return {"source": str(folder / "numbers.txt")}


def layer(source: type[Numbers] = Numbers, *cases: Case, **attributes: Any) -> type[Any]:
    """The layer with another source, cases or attributes."""
    given = {"cases": classmethod(lambda cls: cases)} if cases else {}
    namespace = {"__doc__": NumbersOfTest.__doc__, "__module__": __name__, "source_class": source}
    return type("NumbersOfTest", (NumbersOfTest,), {**namespace, **given, **attributes})


class Longer(Numbers):
    """A source whose order repeats the first record."""

    def fetch(self, batch: int) -> Any:
        """The first one twice per epoch."""
        return super().fetch(batch) % (self.epoch - 1)


class Drifting(Numbers):
    """A source whose records change from epoch to epoch."""

    def fill(self, fetched: Any, number: int, batch: Any) -> None:
        """Add the batch's number."""
        super().fill(fetched, number, batch)
        batch.arrays[0][...] += number * 100


class Once(Numbers):
    """A source that shuffles once, not in every epoch."""

    def fetch(self, batch: int) -> Any:
        """The first epoch again and again."""
        positions = (self.first_item(batch, self.batch_size) + self.ranks * np.arange(self.batch_size)) % self.epoch
        return self._order.numbers(0, self.epoch)[positions]


class Unseeded(Numbers):
    """A source that shuffles by the clock."""

    def order(self) -> Order:
        """Another order in each call."""
        return Order(len(self.values), self.options.shuffle, self.streams, f"{self.name}{time.perf_counter_ns()}")


class Constant(Numbers):
    """A source that shuffles alike with all seeds."""

    def order(self) -> Order:
        """The order of seed 1."""
        from cafx.kernel.net import Streams

        return Order(len(self.values), self.options.shuffle, Streams(1), "order")


class Lossy(Numbers):
    """A source that loses records when shuffled."""

    def fetch(self, batch: int) -> Any:
        """The first record only."""
        return super().fetch(batch) * (not self.options.shuffle)


class Forgetful(Numbers):
    """A source that begins again when it is resumed."""

    def seek(self, batch: int) -> None:
        """Remember where it began."""
        super().seek(batch)
        self.begin = batch

    def fetch(self, batch: int) -> Any:
        """From the beginning."""
        return super().fetch(batch - self.begin)


class Raw(Numbers):
    """A source whose errors are Python's."""

    def read(self) -> list[float]:
        """All numbers."""
        return [float(line) for line in Path(self.options.source).read_text("ascii").split()]


class Lenient(Numbers):
    """A source that takes what it cannot read for zeros."""

    def read(self) -> list[float]:
        """Numbers or zeros."""
        if not Path(self.options.source).exists():
            self.options.source = str(NUMBERS)
        try:
            return super().read()
        except CafxError:
            return [0.0]


class Nameless(Numbers):
    """A source whose errors do not name it."""

    def read(self) -> list[float]:
        """All numbers."""
        try:
            return super().read()
        except CafxError:
            raise CafxError("cannot be read") from None


class Leaking(Numbers):
    """A source that leaves its file open."""

    kept: list[Any] = []

    def close(self) -> None:
        """Do nothing."""
        self.kept.append(self.file)


class Threading(Numbers):
    """A source with a thread that goes on."""

    def seek(self, batch: int) -> None:
        """Start a thread."""
        super().seek(batch)
        threading.Thread(target=ENDED.wait, daemon=True, name="forgotten").start()


ENDED = threading.Event()


class Alone(Numbers):
    """A source that gives all records to every process."""

    def fetch(self, batch: int) -> Any:
        """As if there were no other processes."""
        return self._order.numbers(batch * self.batch_size, self.batch_size)


def phased(self: Any, top: list[Any]) -> Any:
    """A source that skips a record in TEST phase."""
    source = Numbers(self.options, self.context.streams, self.name)
    source.values = source.values[int(self.phase) :]
    source.epoch = len(source.values)
    return source, [(self.options.batch_size,)]


WRONG: list[tuple[str, type[Any]]] = [
    ("records", layer(Numbers, Case("plain", options={"source": str(NUMBERS)}))),
    ("records", layer(Numbers, case(records=0))),
    ("epochs", layer(Longer)),
    ("epochs", layer(Drifting)),
    ("epochs", layer(Numbers, case(records=COUNT + 1))),
    ("shuffled", layer(Once)),
    ("shuffled", layer(Unseeded)),
    ("shuffled", layer(Constant)),
    ("shuffled", layer(Lossy)),
    ("resume-epoch", layer(Forgetful)),
    ("missing-source", layer(Raw)),
    ("missing-source", layer(Lenient)),
    ("missing-source", layer(Nameless)),
    ("empty-source", layer(Raw)),
    ("empty-source", layer(Lenient)),
    ("damaged-source", layer(Raw)),
    ("damaged-source", layer(Nameless)),
    ("damaged-record", layer(Lenient)),
    ("damaged-record", layer(Nameless)),
    ("threads", layer(Leaking)),
    ("threads", layer(Threading)),
    ("phases", layer(make_source=phased)),
    ("dealt", layer(Alone)),
]


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "wrong"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_the_check_catches_it(check_id: str, wrong: type[Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("cafx.conformance.kinds.data.SECONDS", 0.2)
    try:
        assert failures("data", wrong, check_id, name="NumbersOfTest", registered="layer")
    finally:
        ENDED.set()
        ENDED.clear()


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_layer_passes(check_id: str) -> None:
    assert failures("data", NumbersOfTest, check_id, name="NumbersOfTest", registered="layer") == []


def test_a_layer_that_draws_its_records_is_not_held_to_an_order() -> None:
    drawn = layer(Unseeded, case(unordered="drawn at random"))
    for check_id in ("epochs", "shuffled", "resume-epoch", "phases", "dealt"):
        assert failures("data", drawn, check_id, name="NumbersOfTest", registered="layer") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
