"""Each check of the checklist of databases catches a kind of database that violates its requirement."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from cafx.conformance import load_checks, report
from cafx.conformance.catching import failures
from cafx.conformance.databases import database_suite
from cafx.kernel import TEST, CafxError, Net, Registry, schema
from cafx_lib_feed.database import Database, Item, Reader, Writer, damaged, empty
from cafx_lib_feed.datum import datum_bytes

CHECKS = load_checks("database")
MARK = "index.json"


class FolderReader(Reader):
    """An index of keys and a file of concatenated values."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.index: dict[str, list[int]] | None = None
        try:
            self.index = dict(sorted(json.loads((path / MARK).read_text()).items()))
            self.values = (path / "values").read_bytes()
        except (ValueError, OSError) as error:
            raise damaged(path, error) from error
        if not self.index:
            raise empty(path)
        if len(self.values) < max(sum(extent) for extent in self.index.values()):
            raise damaged(path, "values are truncated")

    def _open_index(self) -> dict[str, list[int]]:
        if self.index is None:
            raise CafxError("the database was closed", where=str(self.path))
        return self.index

    def __len__(self) -> int:
        return len(self._open_index())

    def keys(self) -> Iterator[bytes]:
        for key in self._open_index():
            yield key.encode()

    def items(self, start: int = 0) -> Iterator[Item]:
        for key in list(self.keys())[start:]:
            yield key, self.get(key)

    def get(self, key: bytes) -> memoryview:
        first, size = self._open_index()[key.decode()]
        return memoryview(self.values)[first : first + size]

    def close(self) -> None:
        self.index = None


class FolderWriter(Writer):
    """Writes values before it adds them to the index."""

    def __init__(self, path: Path) -> None:
        path.mkdir(exist_ok=True)
        self.path = path
        self.index = json.loads((path / MARK).read_text()) if (path / MARK).exists() else {}

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        index = dict(self.index)
        with (self.path / "values").open("ab") as file:
            for key, value in items:
                index[key.decode()] = (file.tell(), file.write(value))
        self.index = index
        (self.path / MARK).write_text(json.dumps(index))

    def last_key(self) -> bytes | None:
        return max(self.index).encode() if self.index else None

    def close(self) -> None:
        pass


class Folder(Database):
    """A correct kind of database."""

    name = "FOLDER"
    mark = MARK
    reader = FolderReader
    writer = FolderWriter


def reading(**methods: Any) -> type[Database]:
    return type("Wrong", (Folder,), {"reader": type("WrongReader", (FolderReader,), methods)})


def writing(**methods: Any) -> type[Database]:
    return type("Wrong", (Folder,), {"writer": type("WrongWriter", (FolderWriter,), methods)})


def forgetful_items(self: FolderReader, start: int = 0) -> Iterator[Item]:
    """Yields the same memory for every item."""
    memory = bytearray(200)
    for key in list(self.keys())[start:]:
        value = self.get(key)
        memory[: len(value)] = value
        yield key, memoryview(memory)[: len(value)]


def put_one_by_one(self: FolderWriter, items: Sequence[tuple[bytes, bytes]]) -> None:
    for item in items:
        FolderWriter.put(self, [item])


def trusting(self: FolderReader, path: Path) -> None:
    self.path, self.index, self.values = path, {}, b""
    if (path / MARK).stat().st_size:
        self.index = json.loads((path / MARK).read_text())
        self.values = (path / "values").read_bytes()
    if not self.index:
        raise empty(path)


class Overwriting(Folder):
    """Overwrites an existing database."""

    @classmethod
    def create(cls, path: str | Path, *, append: bool = False) -> Writer:
        if Path(path).parent.is_dir() and not append:
            return FolderWriter(Path(path))
        return super().create(path, append=append)


class RecognisesEverything(Folder):
    """Recognises every folder."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        return path.is_dir()


class Small(FolderWriter):
    """Stores only a few items."""

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        super().put(items[:30])


class Tolerant(FolderReader):
    """Opens a database without items."""

    def __init__(self, path: Path) -> None:
        try:
            super().__init__(path)
        except CafxError:
            self.index = {}


SHARED: dict[str, list[FolderReader]] = {}


class SharedReader(FolderReader):
    """Closing one reader closes all."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        SHARED.setdefault(str(path), []).append(self)

    def close(self) -> None:
        for each in SHARED.pop(str(self.path), []):
            each.index = None


@attrs.frozen
class Named:
    """A case."""

    name: str
    skip: dict[str, str] = attrs.field(factory=dict)


class Buffering(FolderWriter):
    """Writes when it is closed."""

    def put(self, items: Sequence[tuple[bytes, bytes]]) -> None:
        with (self.path / "values").open("ab") as file:
            for key, value in items:
                self.index[key.decode()] = (file.tell(), file.write(value))

    def close(self) -> None:
        (self.path / MARK).write_text(json.dumps(self.index))


class Buffered(Folder):
    """Loses what was put when the process ends."""

    writer = Buffering


WRONG = {
    "entry-point": FolderReader,
    "docstring": type("Wrong", (Folder,), {"__doc__": "A folder."}),
    "cases": type("Wrong", (Folder,), {"cases": classmethod(lambda cls: [Named("one"), Named("one")])}),
    "recognised": RecognisesEverything,
    "ordered": reading(items=lambda self, start=0: iter(list(FolderReader.items(self))[start + 1 :])),
    "values-stay-valid": reading(items=forgetful_items),
    "threads": reading(lends=False, get=lambda self, key: memoryview(b"other")),
    "independent": type("Wrong", (Folder,), {"reader": SharedReader}),
    "closed": reading(close=lambda self: None),
    "append": Overwriting,
    "batch": writing(put=put_one_by_one),
    "killed": Buffered,
    "grows": type("Wrong", (Folder,), {"writer": Small}),
    "refused": type("Wrong", (Folder,), {"reader": Tolerant}),
    "truncated": reading(__init__=trusting),
}


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_kind_passes(check_id: str) -> None:
    assert failures("database", Folder, check_id, name="FOLDER") == []


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_the_check_catches_it(check_id: str) -> None:
    assert failures("database", WRONG[check_id], check_id, name="FOLDER")


def test_the_suite_of_the_older_name_has_every_check() -> None:
    suite = database_suite("LMDB")
    items = next(mark for mark in suite.test_checklist.pytestmark if mark.name == "parametrize").args[1]
    assert [item.check.id for item in items] == list(CHECKS)


PROJECT = """[project]
name = "cafx-database-folder"
version = "1"
dependencies = ["cafx-kernel>=0.1,<0.2"]
[project.entry-points."cafx.databases"]
FOLDER = "cafx_database_folder:Folder"
"""


@pytest.mark.slow
def test_a_folder_with_a_database_is_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cafx_database_folder", raising=False)
    (tmp_path / "pyproject.toml").write_text(PROJECT)
    source, _, _ = Path(__file__).read_text("utf-8").partition("def reading(")
    (tmp_path / "cafx_database_folder.py").write_text(source)
    checked = report.check(str(tmp_path))
    assert [row for row in checked.rows if row.outcome != report.PASS] == []
    assert [row.check_id for row in checked.rows] == ["loads", *CHECKS]


def test_data_layers_read_a_third_party_kind(tmp_path: Path) -> None:
    plugins = Registry()
    plugins.add("database", "FOLDER", Folder)
    with Folder.create(tmp_path / "db") as writer:
        writer.put([(b"%d" % i, datum_bytes(np.full((1, 2, 2), i, np.uint8), i)) for i in range(4)])
    text = (
        'layer { name: "d" type: "Data" top: "data" top: "label" data_param { '
        f'source: "{tmp_path / "db"}" database: "FOLDER" batch_size: 3 }} }}'
    )
    net = schema(plugins).parse_text(text, "NetParameter")
    with Net(net, TEST, engine="numpy", plugins=plugins) as built:
        for expected in ([0, 1, 2], [3, 0, 1]):
            built.run_forward()
            assert built.blobs["label"].host().tolist() == expected
            assert built.blobs["data"].host()[:, 0, 1, 1].tolist() == expected
