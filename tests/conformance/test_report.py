"""``cafx check`` takes a plugin's folder for the distribution that it would be installed as."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from cafx.conformance import CheckFailure, load_checks, plugin_suite
from cafx.conformance.report import check
from cafx.kernel import Registry

MODULE = '''
from cafx.kernel import Policy

class Falling(Policy):
    """rate = base_lr / (1 + iteration)."""

    def rate(self, iteration):
        return self.options.base_lr / (1 + iteration)

    @classmethod
    def cases(cls):
        from cafx.conformance.kinds.policy import PolicyCase

        return [PolicyCase("plain", {"base_lr": 1}, rates={1: 0.5}, never_rises=True)]
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
    assert [row.check_id for row in report.rows] == ["loads"] + (list(load_checks("policy")) if report.ok else [])
    assert problem in report.rows[0].detail


SEVERAL = """[project]
name = "cafx-policy-falling"
version = "1.2"
dependencies = ["cafx-kernel>=0.1,<0.2"]
[project.entry-points."cafx.roles"]
falling = "cafx_policy_falling:Falling"
[project.entry-points."cafx.policy"]
falling = "cafx_policy_falling:Falling"
[project.entry-points."cafx.policies"]
falling = "cafx_policy_falling:Falling"
sinking = "cafx_policy_falling:Sinking"
"""


def test_every_plugin_of_a_folder_has_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Kinds without a checklist, groups that nobody reads and plugins that cannot be imported have theirs, too."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cafx_policy_falling", raising=False)
    (tmp_path / "pyproject.toml").write_text(SEVERAL)
    (tmp_path / "cafx_policy_falling.py").write_text(MODULE)
    report = check(str(tmp_path))
    rows = {(row.plugin, row.check_id): row for row in report.rows}
    falling = "falling (policy)"
    assert [row.check_id for row in report.rows if row.plugin == falling] == ["loads", *load_checks("policy")]
    assert {row.outcome for row in report.rows if row.plugin == falling} == {"pass"}
    assert rows["falling (role)", "loads"].outcome == "pass"
    assert rows["falling (role)", "checklist"].detail == "no checklist for kind 'role'"
    assert rows["falling (policy)", "loads"] is not rows["sinking", "loads"]
    assert "Sinking" in rows["sinking", "loads"].detail
    unknown = [row for row in report.rows if row.check_id == "group"]
    assert [row.outcome for row in unknown] == ["fail"]
    assert "did you mean 'cafx.policies'" in unknown[0].detail
    assert not report.ok


def test_cases_that_fail_are_a_failed_row_and_a_failed_test(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delitem(sys.modules, "cafx_policy_falling", raising=False)
    (tmp_path / "pyproject.toml").write_text(PROJECT.format('"cafx-kernel>=0.1,<0.2"'))
    (tmp_path / "cafx_policy_falling.py").write_text(MODULE.replace("rates=", "rate="))
    report = check(str(tmp_path))
    assert [(row.check_id, row.outcome) for row in report.rows] == [("loads", "pass"), ("cases", "fail")]
    assert "the cases of plugin 'falling' fail: got TypeError: " in report.rows[1].detail
    plugins = Registry()
    plugins.add("policy", "falling", sys.modules["cafx_policy_falling"].Falling)
    with pytest.raises(CheckFailure, match="the cases of plugin 'falling' fail"):
        plugin_suite("policy", "falling", plugins)().test_loads()
