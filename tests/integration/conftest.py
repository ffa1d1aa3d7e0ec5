"""cafx installed from wheels, for the tests of what its users install."""

from __future__ import annotations

import dataclasses
import os
import shlex
import shutil
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD = 'bash "$CAFX_SOURCE/.ci/wheels" "$CAFX_WHEELS"'
"""How wheels are built, in a container too."""
Outcome = subprocess.CompletedProcess[str]


@dataclasses.dataclass(frozen=True)
class Site:
    """An environment outside the repository, and the wheels it is installed from.

    Attributes:
        folder: where both are.
    """

    folder: Path

    @property
    def wheels(self) -> Path:
        """The folder of wheels."""
        return self.folder / "dist"

    @property
    def python(self) -> Path:
        """The environment's Python."""
        return self.folder / "env/bin/python"

    def pip(self, *arguments: str) -> None:
        """Run the environment's own pip."""
        command = [str(self.python), "-m", "pip", "--quiet", "--disable-pip-version-check", *arguments]
        subprocess.run(command, check=True, cwd=self.folder)

    def cafx(self, *arguments: str, cwd: Path | None = None) -> Outcome:
        """Run the environment's cafx command."""
        return self.run(shlex.join([str(self.folder / "env/bin/cafx"), *arguments]), cwd)

    def run(self, line: str, cwd: Path | None = None, **settings: str) -> Outcome:
        """Run a command line, without the variables that steer Python and cafx.

        Args:
            line: the command line.
            cwd: its working directory.
            settings: environment variables.
        """
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("PYTHON", "CAFX"))}
        return subprocess.run(
            shlex.split(line),
            cwd=cwd or self.folder,
            capture_output=True,
            text=True,
            check=False,
            env={**clean, **settings},
        )


@pytest.fixture(scope="session")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a wheel of each distribution in the repository."""
    if shutil.which("uv") is None:
        pytest.skip("uv is not installed")
    folder = tmp_path_factory.mktemp("wheels")
    clean = {key: value for key, value in os.environ.items() if key != "VIRTUAL_ENV"}
    settings = {**clean, "CAFX_SOURCE": str(ROOT), "CAFX_WHEELS": str(folder)}
    built = subprocess.run(["bash", "-c", BUILD], env=settings, capture_output=True, text=True, check=False)
    assert built.returncode == 0, f"the wheels cannot be built: {built.stdout}{built.stderr}"
    return folder


@pytest.fixture(scope="session")
def make_site(wheels: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Site]:
    """A function that makes an environment with cafx, as its wheel is installed, and further distributions."""

    def make(*further: str) -> Site:
        site = Site(tmp_path_factory.mktemp("installed"))
        site.wheels.symlink_to(wheels)
        venv.create(site.folder / "env", with_pip=True)
        (cafx,) = site.wheels.glob("cafx-0*.whl")
        site.pip("install", "--find-links", str(site.wheels), str(cafx), *further)
        return site

    return make
