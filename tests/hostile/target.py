"""What all targets have in common."""

from __future__ import annotations

import contextlib
import random
from pathlib import Path
from typing import ClassVar

import numpy as np
from mutations import changed_bytes

from cafx.kernel import Net, Phase

MOST_VALUES = 2_000_000
"""Larger blobs are refused while inputs are tried, so that an input costs milliseconds."""
MOST_ACTIVE = 20_000
"""Larger nets are built, but not run."""


class Target:
    """A reader.

    Attributes:
        share: its part of all inputs.
        may_write: whether it writes files on purpose.
    """

    share: ClassVar[int]
    may_write: ClassVar[bool] = False

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def seeds(self) -> list[bytes]:
        """Valid inputs."""
        raise NotImplementedError

    def make(self, rng: random.Random) -> bytes:
        """A changed input."""
        return changed_bytes(rng, rng.choice(self.seeds()))

    def run(self, data: bytes) -> object:
        """Read an input, in the target's folder."""
        raise NotImplementedError

    def read(self, *names: str) -> list[bytes]:
        """The seeds in some files."""
        return [(self.folder / name).read_bytes() for name in names]


def build_and_run(text: str, passes: int = 1, engine: str = "numpy", phase: Phase = Phase.TRAIN) -> None:
    """Build a net and run it if it is small."""
    Path("input.prototxt").write_text(text, "utf-8", "surrogateescape")
    with contextlib.closing(Net("input.prototxt", phase, engine=engine, seed=1)) as net, np.errstate(all="ignore"):
        parameters = [each for blobs in net.params.values() for each in blobs]
        if sum(each.count() for each in (*net.blobs.values(), *parameters)) < MOST_ACTIVE:
            for _ in range(passes):
                net.forward()
            if phase is Phase.TRAIN:
                net.backward()
