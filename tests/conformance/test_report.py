"""``cafx check`` takes a plugin's folder for the distribution that it would be installed as."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cafx.conformance.report import check

MODULE = '''
from cafx.kernel import Policy

class Falling(Policy):
    """rate = base_lr / (1 + iteration)"""
'''
PROJECT = """[project]
name = "cafx-policy-falling"
version = "1.2"
dependencies = [{}]
[project.entry-points."cafx.policies"]
falling = "cafx_policy_falling:Falling"
"""


@pytest.mark.parametrize(
    ("dependencies", "problem"),
    [
        ('"cafx-kernel>=0.1,<0.2"', ""),
        ("", "plugin 'falling' of cafx-policy-falling 1.2 does not state for which plugin API it was built"),
        ('"cafx-kernel>=7"', "was built for another plugin API"),
    ],
)
def test_a_folder_s_bounds_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, dependencies: str, problem: str
) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cafx_policy_falling", raising=False)
    (tmp_path / "pyproject.toml").write_text(PROJECT.format(dependencies))
    (tmp_path / "cafx_policy_falling.py").write_text(MODULE)
    report = check(str(tmp_path))
    assert report.ok == (not problem)
    (row,) = report.rows
    assert problem in row.detail
