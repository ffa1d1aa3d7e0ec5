"""Definitions and files that Caffe refuses raise a CafxError."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest

from cafx.kernel import CafxError, Net, Phase, Solver, UnknownNameError

UNKNOWN_ON_PURPOSE = {
    "missing_type",
    "solver_unknown_policy",
    "solver_unknown_type",
    "type_case_sensitive",
    "unknown_field",
}
NOT_INSTALLED = "no installed plugin"
FOLDERS_ARE_MADE = "solver_snapshot_unwritable"
"""Caffe refuses a snapshot_prefix in a folder that does not exist; cafx makes the folder."""


@pytest.mark.shared_files("golden/errors/*.txt")
def test_definitions_that_caffe_refuses_are_refused(
    shared_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in shared_file.parent.glob(f"{shared_file.stem}.*"):
        shutil.copy(each, tmp_path)
    if shared_file.stem == FOLDERS_ARE_MADE:
        solver = tmp_path / f"{FOLDERS_ARE_MADE}.prototxt"
        solver.write_text(re.sub('snapshot_prefix: *"[^"]*"', 'snapshot_prefix: "/dev/null/x"', solver.read_text()))
    monkeypatch.chdir(tmp_path)
    stage = shared_file.read_text().splitlines()[0].removeprefix("stage: ")
    with pytest.raises(CafxError) as caught:
        run(f"{shared_file.stem}.prototxt", stage)
    error = caught.value
    missing = isinstance(error, UnknownNameError) and NOT_INSTALLED in str(error)
    if missing and shared_file.stem not in UNKNOWN_ON_PURPOSE:
        pytest.skip(f"not installed: {error}")
    assert error.where, f"the error names no place: {error}"


def run(prototxt: str, stage: str) -> None:
    """Load, build and run up to the stage at which Caffe fails."""
    if prototxt.startswith("solver_"):
        solver = Solver.load(prototxt, engine="numpy")
        assert stage == "step"
        solver.step(1)
        return
    net = Net(prototxt, Phase.TEST, engine="numpy")
    assert stage == "load"
    net.copy_from(str(Path(prototxt).with_suffix(".caffemodel")))
