"""Runs applications in a copy of their folder."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from cafx.kernel import schema
from cafx_applications.datasets import folder as data_folder
from cafx_applications.pictures import LIMIT
from cafx_applications.running import FIGURES

GENERATED = ("*_lmdb", "*.h5", "*_iter_*", "*.caffemodel", "pictures", "results", "__pycache__")
TIMEOUT = 3600
FEWEST_LEVELS = 8


@attrs.frozen
class Application:
    """An application in a folder of its own.

    Attributes:
        folder: a copy of the application.
    """

    folder: Path

    def pretend_data(self, *databases: str) -> None:
        """Make the databases' folders, so that a program that only defines a net does not make the data."""
        for name in databases or ("train_lmdb", "test_lmdb"):
            (self.folder / name).mkdir(exist_ok=True)

    def python(self, *arguments: str) -> str:
        """Run Python in the folder and return what it printed."""
        command, settings = [sys.executable, *arguments], {**os.environ, "CAFX_DATA": str(data_folder())}
        process = subprocess.run(
            command, cwd=self.folder, env=settings, text=True, capture_output=True, timeout=TIMEOUT, check=False
        )
        assert process.returncode == 0, process.stdout + process.stderr
        return process.stdout

    def figures(self, *arguments: str) -> dict[str, float]:
        """Run ``run.py`` and return its figures."""
        self.python("run.py", "--out", "results", *arguments)
        return dict(json.loads((self.folder / "results" / FIGURES).read_text()))

    def has_picture(self, name: str, most: int = LIMIT) -> None:
        """Check that a picture shows something and, unless ``most`` says otherwise, is small enough to be committed."""
        from PIL import Image

        path = self.folder / "results" / name
        with Image.open(path) as image:
            assert len(np.unique(np.asarray(image.convert("L")))) >= FEWEST_LEVELS
        assert path.stat().st_size <= most

    def emits(self, program: str, net: str, solver: str | None = None) -> None:
        """Check that a program defines the net, and the solver, of the prototxt files beside it."""
        assert self._emitted(program, "--net", "NetParameter") == self._written(net, "NetParameter")
        if solver:
            emitted, written = self._emitted(program, "--solver", "SolverParameter"), self._written(solver)
            assert written.net == net
            written.ClearField("net")
            emitted.ClearField("net_param")
            assert emitted == written

    def _emitted(self, program: str, what: str, message: str) -> Any:
        self.pretend_data()
        return schema().parse_text(self.python("-m", "cafx.cli", "emit", program, what), message)

    def _written(self, name: str, message: str = "SolverParameter") -> Any:
        return schema().read_text(self.folder / name, message)


@pytest.fixture
def application(request: pytest.FixtureRequest, tmp_path: Path) -> Application:
    """The application whose test asks for it."""
    here = request.path.parent
    return Application(Path(shutil.copytree(here, tmp_path / here.name, ignore=shutil.ignore_patterns(*GENERATED))))


@pytest.fixture
def needs_data() -> Path:
    """The folder of the data; skips the test where it is absent."""
    if not (data_folder() / "datasets").is_dir():
        pytest.skip(f"no data sets in {data_folder()}: set CAFX_DATA to their folder")
    return data_folder()
