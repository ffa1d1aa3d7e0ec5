"""The checklist of databases; it needs no cases.

>>> from cafx.conformance import plugin_suite
>>> TestLMDB = plugin_suite("database", "LMDB")
"""

from __future__ import annotations

import collections
import inspect
import itertools
import subprocess
import sys
import textwrap
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.space import folder
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import CafxError
from cafx_lib_feed.database import Database, Reader, open_database

KIND = "database"
ITEMS = [(b"%04d" % i, bytes([i]) * (100 + i)) for i in range(20)]
LARGE, MANY = 1 << 20, 100
SHARES = (0.0, 0.3, 0.5, 0.99)
"""Of a file, when it is cut off."""
UNFINISHED = """
    import importlib.util, os, sys
    sys.path[:] = {path!r}
    try:
        module = importlib.import_module({module!r})
    except ModuleNotFoundError:
        spec = importlib.util.spec_from_file_location("module", {file!r})
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    kind = getattr(module, {name!r})
    writer = kind.create({target!r})
    writer.put([(b"%04d" % i, b"value") for i in range(10)])
    os._exit(0)
"""

common_checks(KIND, Database, needs_cases=False)


def written(subject: Subject, place: Path, items: Sequence[tuple[bytes, bytes]] = ITEMS) -> Path:
    """A database with items, written in two unordered batches."""
    half = len(items) // 2
    with subject.thing.create(place / "db") as writer:
        writer.put(items[half:])
        writer.put(items[:half])
    return place / "db"


def require(met: object, otherwise: str) -> None:
    """Raise `CheckFailure` unless a requirement is met."""
    if not met:
        raise CheckFailure(otherwise)


def require_error(run: Callable[[], Any], words: str, what: str) -> None:
    """Require a CafxError with certain words."""
    try:
        run()
    except CafxError as error:
        require(words in str(error), f"{what}: the error does not mention {words!r}: {error}")
    except Exception as error:
        raise CheckFailure(f"{what}: {type(error).__name__}: {error}; raise a CafxError") from error
    else:
        raise CheckFailure(f"{what}: no error")


@check("recognised", "databases are recognised by their files, and opened as this kind", kind=KIND, per_case=False)
def recognised(subject: Subject) -> None:
    kind = subject.thing
    require(kind.name == subject.type, f"name is {kind.name!r}, but the entry point is called {subject.type!r}")
    with folder() as place:
        path = written(subject, place)
        require(kind.recognises(path), "recognises() does not know a database of its own")
        require(not kind.recognises(place), "recognises() takes any folder for a database")
        with open_database(path, plugins=subject.plugins) as reader:
            require(isinstance(reader, kind.reader), f"open_database() opens it as {type(reader).__name__}")


@check("ordered", "items are ordered by key and can be read from any of them on", kind=KIND, per_case=False)
def ordered(subject: Subject) -> None:
    keys = [key for key, _ in ITEMS]
    with folder() as place, subject.thing.open(written(subject, place)) as reader:
        require([(key, bytes(value)) for key, value in reader.items()] == ITEMS, "items() is not what was written")
        require(len(reader) == len(ITEMS), f"len() is {len(reader)}, not {len(ITEMS)}")
        for start in (1, 15, 19, 20):
            found = [key for key, _ in reader.items(start)]
            require(found == keys[start:], f"items({start}) begins elsewhere: {found[:2]}")
        require(list(reader.keys()) == keys, "keys() is not what was written")
        require([(key, bytes(reader.get(key))) for key in keys] == ITEMS, "get() returns other values")
        numbers = [int(key) for key, _ in itertools.islice(reader.forever(18 + 40), 24)]
        require(numbers == [*range(18, 20), *range(20), 0, 1], "forever() does not begin anew after the last item")


@check("values-stay-valid", "values stay valid while the reader is open", kind=KIND, per_case=False)
def values_stay_valid(subject: Subject) -> None:
    with folder() as place, subject.thing.open(written(subject, place)) as reader:
        values = [value for _, value in reader.items()]
        require(all(isinstance(value, memoryview) for value in values), "values are not memoryviews")
        same = [bytes(value) for value in values] == [value for _, value in ITEMS]
        require(same, "later reads overwrite the values of earlier ones")


@check("threads", "threads read lent values, or get values themselves", kind=KIND, per_case=False)
def threads(subject: Subject) -> None:
    with folder() as place, subject.thing.open(written(subject, place)) as reader:
        lent = dict(reader.items()) if reader.lends else {}
        get = lent.__getitem__ if reader.lends else reader.get
        with ThreadPoolExecutor(4) as pool:
            correct = all(pool.map(lambda item: bytes(get(item[0])) == item[1], ITEMS * 50))
        require(correct, "in four threads, other values are read")


@check(
    "independent", "any number of readers can be open; closing one does not affect another", kind=KIND, per_case=False
)
def independent(subject: Subject) -> None:
    with folder() as place, subject.thing.open(written(subject, place)) as one:
        with subject.thing.open(place / "db") as two:
            pairs = zip(one.items(), two.items(), strict=True)
            require(all(bytes(mine[1]) == bytes(other[1]) for mine, other in pairs), "two readers read other values")
        try:
            count = len(list(one.keys()))
        except CafxError as error:
            raise CheckFailure(f"closing a reader closes another: {error}") from None
        require(count == len(ITEMS), "after another reader was closed, items are missing")


@check("closed", "a closed reader raises an error when used, and can be closed again", kind=KIND, per_case=False)
def closed(subject: Subject) -> None:
    with folder() as place:
        reader: Reader = subject.thing.open(written(subject, place))
        reader.close()
        reader.close()
        require_error(lambda: next(reader.items()), "closed", "items() of a closed reader")
        require_error(lambda: next(reader.keys()), "closed", "keys() of a closed reader")
        require_error(lambda: reader.get(b"0001"), "closed", "get() of a closed reader")


@check("append", "a database is not overwritten, but can be appended to", kind=KIND, per_case=False)
def append(subject: Subject) -> None:
    kind = subject.thing
    with folder() as place:
        with kind.create(place / "db", append=True) as writer:
            require(writer.last_key() is None, "last_key() of a new database is not None")
            writer.put(ITEMS[10:])
            writer.put(ITEMS[:10])
            require(writer.last_key() == ITEMS[-1][0], f"last_key() is {writer.last_key()!r}")
        require_error(lambda: kind.create(place / "db"), "already exists", "creating a database that exists")
        with kind.create(place / "db", append=True) as writer:
            require(writer.last_key() == ITEMS[-1][0], f"opened again, last_key() is {writer.last_key()!r}")
            writer.put([(b"0020", b"x"), (b"0000", b"new")])
        with kind.open(place / "db") as reader:
            require(len(reader) == len(ITEMS) + 1, f"after appending one item, there are {len(reader)}")
            require(bytes(reader.get(b"0000")) == b"new", "a value put twice is the first one")
        missing = place / "none" / "db"
        require_error(lambda: kind.create(missing), "parent folder does not exist", "creating one in a missing folder")


@check("batch", "a batch is written completely or not at all", kind=KIND, per_case=False)
def batch(subject: Subject) -> None:
    wrong: Any = [(b"9998", b"first"), (b"9999", object())]
    with folder() as place:
        with subject.thing.create(place / "db") as writer:
            writer.put(ITEMS)
            try:
                writer.put(wrong)
            except Exception:  # noqa: BLE001 - the error depends on the library
                failed = True
            else:
                failed = False
            require(failed, "a value that is not bytes is accepted")
        with subject.thing.open(place / "db") as reader:
            found = list(reader.keys())
        require(found == [key for key, _ in ITEMS], "of a batch that failed, something is written")


@check(
    "killed", "what was put is there after the process ended without closing the database", kind=KIND, per_case=False
)
def killed(subject: Subject) -> None:
    kind = subject.thing
    with folder() as place:
        script = textwrap.dedent(UNFINISHED).format(
            path=sys.path,
            module=kind.__module__,
            file=inspect.getfile(kind),
            name=kind.__qualname__,
            target=str(place / "db"),
        )
        done = subprocess.run(  # nosec B603  # the plugin under test
            [sys.executable, "-c", script], capture_output=True, text=True, timeout=120, check=False
        )
        require(done.returncode == 0, f"in another process: {done.stderr.strip()[-500:]}")
        try:
            with kind.create(place / "db", append=True) as writer:
                last = writer.last_key()
            with kind.open(place / "db") as reader:
                count = len(reader)
        except CafxError as error:
            raise CheckFailure(f"after the process has ended: {error}") from None
        require((last, count) == (b"0009", 10), f"after the process has ended, the last key is {last!r} of {count}")


@check("grows", "a database grows to 100 MiB, in batches of 50", kind=KIND, per_case=False)
def grows(subject: Subject) -> None:
    value = bytes(LARGE)
    with folder() as place:
        with subject.thing.create(place / "db") as writer:
            for first in range(0, MANY, MANY // 2):
                writer.put([(b"%04d" % i, value) for i in range(first, first + MANY // 2)])
        with subject.thing.open(place / "db") as reader:
            require(len(reader) == MANY, f"of {MANY} items, {len(reader)} are there")
            require(all(len(value) == LARGE for _, value in reader.items()), "values are shorter than written")


@check(
    "refused",
    "a missing path, a file, an empty folder and a database without items are refused",
    kind=KIND,
    per_case=False,
)
def refused(subject: Subject) -> None:
    with folder() as place:
        (place / "file").write_bytes(b"no")
        (place / "folder").mkdir()
        written(subject, place, [])
        for name, words in (
            ("none", "no database"),
            ("file", "not a database"),
            ("folder", "not a database"),
            ("db", "empty"),
        ):
            path = place / name
            require_error(partial(subject.thing.open, path), words, f"opening '{name}'")
            require_error(partial(subject.thing.open, path), str(path), f"opening '{name}'")


@check(
    "truncated",
    "a database of which a file was cut off is refused: it must not pass for a smaller one",
    kind=KIND,
    per_case=False,
)
def truncated(subject: Subject) -> None:
    for share in SHARES:
        with folder() as place:
            path = written(subject, place, [(key, value * 50) for key, value in ITEMS])
            largest = max(path.rglob("*"), key=lambda each: each.stat().st_size)
            with largest.open("r+b") as file:
                file.truncate(int(largest.stat().st_size * share))
            require_error(partial(read, subject, path), str(path), f"{share:.0%} of {largest.name}")


def read(subject: Subject, path: Path) -> None:
    """Read a database to its end."""
    with subject.thing.open(path) as reader:
        collections.deque((bytes(value) for _, value in reader.items()), maxlen=0)
