"""Training: the solver's loop, update rules and policies, snapshots and hooks."""

from cafx.kernel.training.hooks import Hooks, Monitors, hookimpl
from cafx.kernel.training.rules import Array, Policy, UpdateRule
from cafx.kernel.training.solver import Action, Solver
from cafx.kernel.training.solver_file import net_sources, read_solver

__all__ = [
    "Action",
    "Array",
    "Hooks",
    "Monitors",
    "Policy",
    "Solver",
    "UpdateRule",
    "hookimpl",
    "net_sources",
    "read_solver",
]
