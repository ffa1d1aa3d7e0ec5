"""BVLC's own tests of pycaffe, run under cafx's ``import caffe``.

They are not part of this repository: CAFX_BVLC_TESTS names the folder ``python/caffe/test`` of a checkout of
BVLC/caffe.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

TESTS = os.environ.get("CAFX_BVLC_TESTS", "")


@pytest.mark.skipif(not TESTS, reason="CAFX_BVLC_TESTS does not name BVLC's python/caffe/test")
def test_bvlc_s_tests_pass(tmp_path):
    names = sorted(str(path) for path in Path(TESTS).resolve().glob("test_*.py"))
    assert names, f"no tests in '{TESTS}'"
    pytest_options = ["-q", "-p", "no:cacheprovider", "-c", os.devnull, "--rootdir", str(tmp_path)]
    command = [sys.executable, "-m", "pytest", *pytest_options, *names]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=600, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
