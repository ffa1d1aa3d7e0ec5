"""Kill commands at random moments: nothing half-written has a final name, and a resumed training is bit-identical.

    python tests/hostile/kills.py --kills 200 --seed 3

Each command runs once undisturbed, which gives its duration and its true result. Then it is killed with SIGKILL at
moments drawn evenly from that duration. A training is resumed from its newest snapshot until it is finished; its
weights must be those of the undisturbed one. Exit status 1: something was wrong, and is told.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import attrs
import h5py
import numpy as np
import seeds

from cafx.kernel import CafxError, registry
from cafx.kernel.net import format_of, read_weights
from cafx_lib_feed.database import open_database

DIGITS, SIDE = 3000, 28
PICTURES = 400
BATCHES = 200
ITERATIONS = 40
MARGIN = 1.05
SOLVER = """
net: "net.prototxt" base_lr: 0.01 lr_policy: "inv" gamma: 0.01 power: 0.75 momentum: 0.9 type: "Adam"
max_iter: {iterations} snapshot: 1 snapshot_prefix: "run" snapshot_format: {format} random_seed: 3 display: 0
"""
EXTRACT = ("extract-features", "snap_BINARYPROTO_iter_3.caffemodel", "features.prototxt", "ip")


@attrs.frozen
class Command:
    """A command that is killed.

    Attributes:
        name: what it is called here.
        arguments: of ``cafx``.
        result: name of the file or folder that it writes.
        digest: a digest of a complete result; a CafxError or an OSError for another.
    """

    name: str
    arguments: tuple[str, ...]
    result: str
    digest: Callable[[Path], str]


def database(path: Path) -> str:
    """A digest of the items of a database."""
    total = hashlib.sha256()
    with open_database(path, "LEVELDB" if path.suffix == ".leveldb" else "LMDB") as reader:
        for key, value in reader.items():
            total.update(bytes(key))
            total.update(value)
    return total.hexdigest()


def rows(path: Path) -> str:
    """A digest of the datasets of an HDF5 file."""
    with h5py.File(path) as file:
        return hashlib.sha256(b"".join(np.asarray(file[name]).tobytes() for name in sorted(file))).hexdigest()


COMMANDS = (
    Command("convert-mnist", ("convert-mnist", "digits", "labels", "out.lmdb"), "out.lmdb", database),
    Command(
        "convert-mnist leveldb",
        ("convert-mnist", "digits", "labels", "out.leveldb", "-b", "leveldb"),
        "out.leveldb",
        database,
    ),
    Command(
        "convert-imageset",
        ("convert-imageset", "images/", "list.txt", "out.lmdb", "--resize", "64x64"),
        "out.lmdb",
        database,
    ),
    Command("extract-features", (*EXTRACT, "out.lmdb", str(BATCHES)), "out.lmdb", database),
    Command("extract-features hdf5", (*EXTRACT, "out.h5", str(BATCHES), "-b", "hdf5"), "out.h5", rows),
)


def prepare() -> None:
    """Write what the commands read to the present folder."""
    seeds.make_seeds()
    Path("features.prototxt").write_text(seeds.NET.replace("mirror: true", ""))
    rng = np.random.default_rng(2)
    Path("digits").write_bytes(struct.pack(">4I", 0x803, DIGITS, SIDE, SIDE) + rng.bytes(DIGITS * SIDE * SIDE))
    Path("labels").write_bytes(struct.pack(">2I", 0x801, DIGITS) + bytes(each % 10 for each in range(DIGITS)))
    names = sorted(each.name for each in Path("images").iterdir())
    Path("list.txt").write_text("".join(f"{names[at % len(names)]} {at % 10}\n" for at in range(PICTURES)))
    for kind in seeds.FORMATS:
        Path(f"train_{kind}.prototxt").write_text(SOLVER.format(iterations=ITERATIONS, format=kind))


def start(arguments: tuple[str, ...], folder: Path) -> subprocess.Popen[bytes]:
    """Start a command."""
    settings = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-m", "cafx.cli", *arguments],
        cwd=folder,
        env=settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    )


def finish(arguments: tuple[str, ...], folder: Path) -> float:
    """Run a command to its end; returns its duration."""
    began = time.monotonic()
    with start(arguments, folder) as process:
        _, told = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{arguments}: exit status {process.returncode}: {told.decode()}")
    return time.monotonic() - began


def kill(arguments: tuple[str, ...], folder: Path, after: float) -> bool:
    """Run a command and kill it after some seconds; returns whether it was still running."""
    with start(arguments, folder) as process:
        try:
            _, told = process.communicate(timeout=after)
        except subprocess.TimeoutExpired:
            process.kill()
            return True
    if process.returncode:
        raise RuntimeError(f"{arguments}: exit status {process.returncode}: {told.decode()}")
    return False


def remove(path: Path) -> None:
    """Remove a file or folder, if it exists."""
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


class Killed:
    """Kills of one command, each from a folder in which its result is missing; drafts of earlier ones stay."""

    def __init__(self, command: Command, folder: Path) -> None:
        self.command, self.folder = command, folder
        self.result = folder / command.result
        self.duration = finish(command.arguments, folder) * MARGIN
        self.truth = command.digest(self.result)
        self.kills = 0
        remove(self.result)

    def once(self, rng: random.Random) -> str:
        """One run that is killed; returns what is wrong, or nothing."""
        self.kills += kill(self.command.arguments, self.folder, rng.uniform(0, self.duration))
        wrong = self._wrong()
        remove(self.result)
        for draft in self.folder.glob(f"{self.command.result}.part"):  # asked to be resumed or removed
            remove(draft)
        return wrong

    def _wrong(self) -> str:
        if not os.path.lexists(self.result):
            return ""
        try:
            digest = self.command.digest(self.result)
        except (CafxError, OSError) as error:
            return f"half-written: {error}"
        return "" if digest == self.truth else "its result is another"

    def end(self) -> str:
        """A last run beside the drafts that the kills have left."""
        finish(self.command.arguments, self.folder)
        return self._wrong()


class KilledTraining:
    """Kills of a training that is resumed from its newest snapshot each time, and begins again once it is finished."""

    def __init__(self, kind: str, folder: Path) -> None:
        self.folder, self.suffix, self.kills = folder, seeds.SUFFIXES[kind], 0
        self.solver = ("train", "--solver", f"train_{kind}.prototxt", "--engine", "numpy")
        self.final = folder / f"run_iter_{ITERATIONS}.caffemodel{self.suffix}"
        self.duration = finish(self.solver, folder) * MARGIN
        self.truth = self._digest()
        self._clear()

    def _digest(self) -> str:
        layers = read_weights(self.final, registry())
        values = [np.asarray(each.data).tobytes() for layer in layers for each in layer.blobs]
        return hashlib.sha256(b"".join(values)).hexdigest()

    def _clear(self) -> None:
        for path in [*self.folder.glob("run_iter_*"), *self.folder.glob(".run_iter_*")]:
            path.unlink()

    def _states(self) -> list[Path]:
        found = self.folder.glob(f"run_iter_*.solverstate{self.suffix}")
        return sorted(found, key=lambda path: int(re.findall(r"_iter_(\d+)", path.name)[0]))

    def once(self, rng: random.Random) -> str:
        """One run that is killed; returns what is wrong, or nothing."""
        states = self._states()
        resumed = ("--snapshot", states[-1].name) if states else ()
        self.kills += kill((*self.solver, *resumed), self.folder, rng.uniform(0, self.duration))
        try:
            for path in self._states():
                format_of(path, registry()).read_state(path)
            for path in self.folder.glob(f"run_iter_*.caffemodel{self.suffix}"):
                read_weights(path, registry())
        except CafxError as error:
            return f"half-written: {error}"
        if not self.final.exists():
            return ""
        wrong = "" if self._digest() == self.truth else "its weights are others than those of an undisturbed training"
        self._clear()
        return wrong

    def end(self) -> str:
        """Finish the training that is under way."""
        states = self._states()
        finish((*self.solver, *(("--snapshot", states[-1].name) if states else ())), self.folder)
        return "" if self._digest() == self.truth else "its weights are others than those of an undisturbed training"


def main() -> int:
    """Run the script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200, help="number of kills in all")
    parser.add_argument("--seed", default="1")
    arguments = parser.parse_args()
    rng, wrong = random.Random(arguments.seed), []
    with tempfile.TemporaryDirectory(prefix="kills") as scratch:
        victims: dict[str, Killed | KilledTraining] = {}
        makers: list[tuple[str, Callable[[Path], Killed | KilledTraining]]] = [
            *((f"train {kind}", lambda folder, kind=kind: KilledTraining(kind, folder)) for kind in seeds.FORMATS),
            *((each.name, lambda folder, each=each: Killed(each, folder)) for each in COMMANDS),
        ]
        for name, make in makers[: arguments.kills]:
            folder = Path(scratch, name.replace(" ", "_"))
            folder.mkdir()
            os.chdir(folder)
            prepare()
            victims[name] = make(folder)
        while sum(each.kills for each in victims.values()) < arguments.kills:
            name = min(victims, key=lambda each: victims[each].kills)
            if told := victims[name].once(rng):
                wrong.append(f"{name}: {told}")
        for name, victim in victims.items():
            if told := victim.end():
                wrong.append(f"{name}, after all kills: {told}")
            print(f"{name}: {victim.kills} kills")
        os.chdir("/")
    print("\n".join(wrong) or "nothing is half-written, and every resumed training equals an undisturbed one")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
