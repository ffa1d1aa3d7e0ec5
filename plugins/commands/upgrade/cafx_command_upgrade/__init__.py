"""``cafx upgrade``: nets, solvers and weights files in Caffe's older formats, and in those of its forks."""

from cafx_command_upgrade.command import is_solver, upgrade, upgraded

__version__ = "0.1.0"
__all__ = ["is_solver", "upgrade", "upgraded"]
