"""All targets, and what becomes of an input."""

from __future__ import annotations

import os
import random
import traceback
from pathlib import Path

import seeds
from building import HDF5Data, ImageList, Prototxt, Windows
from reading import LMDB, BinaryProto, Datums, Images, LevelDB, State, StateHDF5, Weights, WeightsHDF5
from target import MOST_VALUES, Target

from cafx.kernel import CafxError
from cafx.kernel.blob import blob

SHOWN = 200


class Planted(Target):
    """Failures on purpose, by which the script is tested."""

    share = 0

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return [b"works"]

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        return rng.choice((b"works", b"works", b"divide", b"exit", b"abort"))

    def run(self, data: bytes) -> None:
        """See `Target`."""
        match data:
            case b"divide":
                1 / 0  # noqa: B018
            case b"exit":
                os._exit(3)
            case b"abort":
                os.abort()


TARGETS = {
    each.__name__: each
    for each in (
        Prototxt,
        Weights,
        WeightsHDF5,
        State,
        StateHDF5,
        BinaryProto,
        Datums,
        Images,
        LMDB,
        LevelDB,
        HDF5Data,
        ImageList,
        Windows,
        Planted,
    )
}


def ready(name: str, folder: Path) -> Target:
    """A target with its seeds, in a folder that becomes the working folder."""
    blob.MAX_COUNT = MOST_VALUES
    folder.mkdir(parents=True)
    os.chdir(folder)
    seeds.make_seeds()
    return TARGETS[name](folder)


def names(folder: Path) -> set[str]:
    """The names of the files in a folder."""
    return {each.name for each in folder.iterdir()}


def outcome(target: Target, data: bytes) -> str:
    """What becomes of an input: ``works``, ``refused``, or the name, place and text of another error."""
    before = names(target.folder)
    try:
        target.run(data)
    except CafxError:
        told = "refused"
    except BaseException as error:  # noqa: BLE001 - whatever it is, it is what is looked for
        frame = traceback.extract_tb(error.__traceback__)[-1]
        return f"{type(error).__name__} at {frame.filename}:{frame.lineno}: {str(error)[:SHOWN]}"
    else:
        told = "works"
    left = {each for each in names(target.folder) - before if "input" not in each}
    return f"left files: {sorted(left)}" if left and not target.may_write else told
