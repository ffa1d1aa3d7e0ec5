"""db merge, split and shuffle: every item once, in the right order, or nothing at all."""

from __future__ import annotations

import collections
import doctest
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import cafx_command_db.items
import cafx_command_db.shuffling
import cafx_command_db.splitting
from cafx.kernel import CafxError, registry
from cafx_command_db import db
from cafx_command_db.splitting import drawn
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import datum_bytes

Items = list[tuple[bytes, bytes]]


def items(count: int, first: int = 0, side: int = 2) -> Items:
    pixels = [np.full((1, side, side), n % 256, np.uint8) for n in range(count)]
    return [(b"%08d_x%d.png" % (first + n, first + n), datum_bytes(each, n)) for n, each in enumerate(pixels)]


def write(path: Path, content: Items, backend: str = "LMDB") -> str:
    with registry().load("database", backend).create(path) as writer:
        writer.put(content)
    return str(path)


def contents(path: Path | str) -> Items:
    with open_database(path) as reader:
        return [(key, bytes(value)) for key, value in reader.items()]


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(db, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def fails(*arguments: Any) -> str:
    result = CliRunner().invoke(db, [str(each) for each in arguments])
    assert result.exit_code
    return result.output or str(result.exception)


@pytest.mark.parametrize("module", [cafx_command_db.items, cafx_command_db.splitting])
def test_examples(module: Any) -> None:
    assert doctest.testmod(module).failed == 0


@pytest.mark.parametrize("backend", ["LMDB", "LEVELDB"])
@pytest.mark.parametrize("parts", [2, 7])
@pytest.mark.parametrize("seed", [(), ("--seed", "3")], ids=["in order", "drawn"])
def test_what_was_split_is_merged(backend: str, parts: int, seed: tuple[str, ...], tmp_path: Path) -> None:
    source = write(tmp_path / "all", items(50), backend)
    run("split", source, tmp_path / "part", "--parts", parts, *seed)
    shards = [tmp_path / f"part-{n:05d}-of-{parts:05d}" for n in range(parts)]
    sizes = [len(contents(shard)) for shard in shards]
    assert max(sizes) - min(sizes) <= 1
    assert ([item for shard in shards for item in contents(shard)] == items(50)) is not bool(seed)
    run("merge", *reversed(shards), tmp_path / "merged")
    assert contents(tmp_path / "merged") == items(50)
    assert registry().load("database", backend).recognises(tmp_path / "merged")


def test_shares_are_kept_and_seeds_repeat(tmp_path: Path) -> None:
    source = write(tmp_path / "all", items(100))
    found = []
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        run("split", source, tmp_path / f"{name}1", tmp_path / f"{name}2", "--shares", "9,1", "--seed", seed)
        found.append((contents(tmp_path / f"{name}1"), contents(tmp_path / f"{name}2")))
    assert [len(each) for each in found[0]] == [90, 10]
    assert found[0] == found[1]
    assert found[0] != found[2]


@pytest.mark.slow
@given(st.lists(st.integers(0, 6), min_size=1, max_size=4), st.integers(0, 1000))
def test_drawn_parts_have_their_sizes(sizes: list[int], seed: int) -> None:
    counts = collections.Counter(drawn(sizes, seed))
    assert [counts[part] for part in range(len(sizes))] == sizes


def test_every_division_is_equally_likely() -> None:
    counts = collections.Counter(tuple(drawn([2, 1, 1], seed)) for seed in range(6000))
    assert len(counts) == 12
    assert max(abs(count - 500) for count in counts.values()) < 100  # 4.6 standard deviations


@pytest.mark.parametrize("bucket", [1 << 28, 40, 1], ids=["one bucket", "some", "many"])
def test_shuffling_keeps_every_item_under_a_new_number(
    bucket: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cafx_command_db.shuffling, "BUCKET", bucket)
    source = write(tmp_path / "all", items(300))
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        run("shuffle", source, tmp_path / name, "--seed", seed)
    a, b, c = (contents(tmp_path / name) for name in "abc")
    assert a == b
    assert a != c
    assert [key[:9] for key, _ in a] == [b"%08d_" % n for n in range(300)]
    names = [(key[9:], value) for key, value in a]
    originals = [(key[9:], value) for key, value in items(300)]
    assert names != originals
    assert sorted(names) == sorted(originals)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["a", "all", "b", "c"]


@pytest.mark.slow
def test_every_order_is_equally_likely(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cafx_command_db.shuffling, "BUCKET", 10)

    class Reader:
        def items(self) -> Any:
            return iter([(b"%d" % n, b"x" * 9) for n in range(3)])

        def __len__(self) -> int:
            return 3

    counts: collections.Counter[Any] = collections.Counter()
    rng = np.random.default_rng(0)
    reader: Any = Reader()
    for _ in range(1200):
        with cafx_command_db.shuffling._buckets(reader, tmp_path / "out", rng) as buckets:
            counts[tuple(key for key, _ in cafx_command_db.shuffling._shuffled(buckets, rng))] += 1
    assert len(counts) == 6
    assert max(abs(count - 200) for count in counts.values()) < 60


def test_merging_two_conversions_needs_new_numbers(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", items(3)), write(tmp_path / "two", items(2))
    output = fails("merge", one, two, tmp_path / "out")
    assert output == (
        f"{two}: key '00000000_x0.png' is also in {one}; "
        "--renumber gives all items new keys, in the order of the databases"
    )
    assert not (tmp_path / "out").exists()
    run("merge", one, two, tmp_path / "out", "--renumber")
    keys = [b"00000000_x0.png", b"00000001_x1.png", b"00000002_x2.png", b"00000003_x0.png", b"00000004_x1.png"]
    assert [key for key, _ in contents(tmp_path / "out")] == keys


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.sets(st.binary(min_size=1, max_size=3)), min_size=2, max_size=4))
def test_items_are_merged_by_key(keys: list[set[bytes]]) -> None:
    from cafx_command_db.merging import by_key

    class Reader:
        def __init__(self, path: int, keys: set[bytes]) -> None:
            self.path, self.keys = path, keys

        def items(self) -> Any:
            return ((key, self.path) for key in sorted(self.keys))

    readers: Any = [Reader(number, each) for number, each in enumerate(keys)]
    everything = [(key, number) for number, each in enumerate(keys) for key in each]
    if len({key for key, _ in everything}) < len(everything):
        with pytest.raises(CafxError, match="is also in"):
            list(by_key(readers))
    else:
        assert list(by_key(readers)) == sorted(everything)


def test_unequal_databases_are_not_merged(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one", items(3)), write(tmp_path / "two", items(3, 9, side=4))
    assert "two: its items differ from those of" in fails("merge", one, two, tmp_path / "out")
    assert "got 1×4×4 uint8, expected 1×2×2 uint8" in fails("merge", one, two, tmp_path / "out")
    other = write(tmp_path / "other", [(b"a", b"\xff")])
    assert "got values that are not Datums" in fails("merge", one, other, tmp_path / "out")
    assert "no database" in fails("merge", one, "nowhere", tmp_path / "out")
    assert "already exists" in fails("merge", one, one)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("x", "--parts", "2", "--shares", "1,1"), "--parts takes one OUT"),
        (("x", "y", "--shares", "1"), "not a positive number per OUT"),
        (("x", "y", "--shares", "1,nan"), "not a positive number per OUT"),
        (("x", "y", "--shares", "1,0"), "not a positive number per OUT"),
        (("x", "x"), "the same name"),
        (("x", "--parts", "9"), "a part would be empty: got 5 items for 9 databases"),
    ],
)
def test_mistakes_of_splitting_are_told(arguments: tuple[str, ...], message: str, tmp_path: Path) -> None:
    source = write(tmp_path / "all", items(5))
    outs = [str(tmp_path / each) if each in ("x", "y") else each for each in arguments]
    assert message in fails("split", source, *outs)
    assert [each.name for each in tmp_path.iterdir()] == ["all"]


def test_a_damaged_database_leaves_nothing(tmp_path: Path) -> None:
    source = write(tmp_path / "all", items(400, side=40))
    with Path(source, "data.mdb").open("r+b") as file:
        file.truncate(file.seek(0, 2) // 2)
    for arguments in (("shuffle", source, "x"), ("split", source, "x", "y"), ("merge", source, "x")):
        assert "damaged" in fails(*(str(tmp_path / each) if each in "xy" else each for each in arguments))
    assert [each.name for each in tmp_path.iterdir()] == ["all"]


@pytest.mark.slow
def test_shuffling_takes_little_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cafx_command_db.shuffling, "BUCKET", 4 << 20)
    monkeypatch.setattr("cafx_lib_feed.tools.ITEMS_PER_WRITE", 10)
    source = write(tmp_path / "all", items(600, side=300))
    tracemalloc.start()
    run("shuffle", source, tmp_path / "out")
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 8 << 20, "the database has 54 MB"
