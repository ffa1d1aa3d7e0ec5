"""Readers of files: weights, states, means, images and databases."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import seeds
from mutations import changed_bytes, changed_page, changed_value, overwritten
from target import MOST_VALUES, Target

from cafx.kernel import CafxError, Net, Phase, Solver, registry, schema
from cafx.kernel.net import read_weights
from cafx_format_binaryproto import read_binaryproto
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader, datum_bytes
from cafx_lib_feed.images import decode, resize

MOST_ITEMS = 300
PAGE, PAGE_HEAD = 4096, 200
EXACT_STATE = b'{"losses"'


def touch(layers: Iterable[Any]) -> None:
    """Read all values of a weights file."""
    for layer in layers:
        for each in layer.blobs:
            np.asarray(each.data).sum()


class Weights(Target):
    """Weights files of Caffe's, read and copied to a net."""

    share = 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.net = Net("net.prototxt", Phase.TEST, engine="numpy")

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read("snap_BINARYPROTO_iter_3.caffemodel")

    def run(self, data: bytes) -> None:
        """See `Target`."""
        path = Path("input.caffemodel")
        path.write_bytes(data)
        touch(read_weights(path, registry()))
        self.net.copy_from(path)


class WeightsHDF5(Target):
    """Weights files in HDF5."""

    share = 4

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read("snap_HDF5_iter_3.caffemodel.h5")

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        return (overwritten if rng.random() < 0.8 else changed_bytes)(rng, rng.choice(self.seeds()))

    def run(self, data: bytes) -> None:
        """See `Target`."""
        path = Path("input.caffemodel.h5")
        path.write_bytes(data)
        touch(read_weights(path, registry()))


class State(Target):
    """Solver states: restored, and one more iteration. A refused one changes nothing."""

    share = 8
    kind: ClassVar[str] = "BINARYPROTO"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.solver = Solver.load(f"solver_{self.kind}.prototxt", engine="numpy")
        self.suffix = f".solverstate{seeds.SUFFIXES[self.kind]}"

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read(f"snap_{self.kind}_iter_3{self.suffix}")

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        data = self.seeds()[0]
        if EXACT_STATE not in data or rng.random() < 0.4:
            return changed_bytes(rng, data)
        state = schema()["SolverState"]()
        state.ParseFromString(data)
        state.cafx_state = json.dumps(changed_value(rng, json.loads(state.cafx_state))).encode()
        return bytes(state.SerializeToString())

    def run(self, data: bytes) -> None:
        """See `Target`."""
        path = Path(f"input{self.suffix}")
        path.write_bytes(data)
        before = self.solver.iter, [each.host().copy() for layer in self.solver.net.layers for each in layer.blobs]
        try:
            self.solver.restore(path)
        except CafxError:
            after = [each.host() for layer in self.solver.net.layers for each in layer.blobs]
            unchanged = all(map(same_bits, before[1], after))
            assert unchanged and self.solver.iter == before[0], "a refused state was restored in part"  # noqa: PT018
            raise
        if self.solver.iter < MOST_VALUES:
            self.solver.allow_nan = True
            with np.errstate(all="ignore"):
                self.solver.step(1)


def same_bits(one: Any, other: Any) -> bool:
    """Whether arrays are equal bit for bit, NaNs included."""
    return bool(one.tobytes() == other.tobytes())


class StateHDF5(State):
    """Solver states in HDF5."""

    share = 3
    kind = "HDF5"

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        return (overwritten if rng.random() < 0.8 else changed_bytes)(rng, rng.choice(self.seeds()))


class BinaryProto(Target):
    """Means."""

    share = 8

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read("mean.binaryproto")

    def run(self, data: bytes) -> None:
        """See `Target`."""
        path = Path("input.binaryproto")
        path.write_bytes(data)
        read_binaryproto(path).sum()


class Datums(Target):
    """Values of databases: a reader that has read others, and a new one, say the same."""

    share = 8

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.reader = DatumReader()

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        pixels = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
        return [datum_bytes(pixels, 5), datum_bytes(pixels.astype(np.float32), 7)]

    def run(self, data: bytes) -> None:
        """See `Target`."""
        told = []
        for reader in (self.reader, DatumReader()):
            try:
                item = reader.read(b"key", memoryview(data))
                pixels = None if item.pixels is None else (item.pixels.shape, item.pixels.tobytes())
                told.append((item.label, pixels, None if item.image is None else bytes(item.image)))
            except CafxError as error:
                told.append(error)
        assert str(told[0]) == str(told[1]), "a reader that has read others says something else than a new one"
        if isinstance(told[0], CafxError):
            raise told[0]
        if told[0][2] is not None:
            decode(told[0][2], None, "key")


class Images(Target):
    """Encoded images."""

    share = 8

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return [each.read_bytes() for each in sorted((self.folder / "images").iterdir())]

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        return (overwritten if rng.random() < 0.5 else changed_bytes)(rng, rng.choice(self.seeds()))

    def run(self, data: bytes) -> None:
        """See `Target`."""
        image = decode(data, (1, 3, None)[len(data) % 3], "image")
        if image.size < MOST_VALUES:
            resize(image, 7, 9)


class LMDB(Target):
    """LMDB databases."""

    share = 8

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read("raw_lmdb/data.mdb")

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        data = rng.choice(self.seeds())
        kind = rng.random()
        if kind < 0.6:
            return changed_page(rng, data, PAGE, PAGE_HEAD)
        return overwritten(rng, data) if kind < 0.9 else data[: rng.randrange(len(data))]

    def run(self, data: bytes) -> None:
        """See `Target`."""
        folder = Path("input_lmdb")
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        (folder / "data.mdb").write_bytes(data)
        walk(folder, "LMDB")
        shutil.rmtree(folder)


class LevelDB(Target):
    """LevelDB databases; reading one changes none of its files."""

    share = 4

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return [name.encode() + b"\0" + (self.folder / "raw_leveldb" / name).read_bytes() for name in self._names()]

    def _names(self) -> list[str]:
        files = sorted((self.folder / "raw_leveldb").iterdir())
        return [each.name for each in files if each.name not in ("LOCK", "LOG", "LOG.old") and each.stat().st_size]

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        name, _, content = rng.choice(self.seeds()).partition(b"\0")
        return name + b"\0" + changed_bytes(rng, content)

    def run(self, data: bytes) -> None:
        """See `Target`."""
        folder = Path("input_leveldb")
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree("raw_leveldb", folder)
        name, _, content = data.partition(b"\0")
        (folder / name.decode()).write_bytes(content)
        before = {each.name: each.read_bytes() for each in folder.iterdir()}
        try:
            walk(folder, "LEVELDB")
        finally:
            assert before == {each.name: each.read_bytes() for each in folder.iterdir()}, "reading changed a file"
            shutil.rmtree(folder)


def walk(folder: Path, backend: str) -> None:
    """Read the items of a database, in order and by key."""
    with open_database(folder, backend) as database:
        assert len(database) >= 0
        for _, (_, value) in zip(range(MOST_ITEMS), database.items(), strict=False):
            bytes(value)
        for _, key in zip(range(MOST_ITEMS), database.keys(), strict=False):
            database.get(key)
