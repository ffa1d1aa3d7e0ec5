"""Training: the solver's loop, update rules and policies, snapshots and hooks."""

from cafx.kernel.training.finite import NEVER
from cafx.kernel.training.hooks import Hooks, Lazy, Monitors, Training, hookimpl
from cafx.kernel.training.replicas import Replicas, make_communicator
from cafx.kernel.training.rules import Array, Policy, UpdateRule
from cafx.kernel.training.scores import LOSS, Scores
from cafx.kernel.training.snapshot import prefix_of
from cafx.kernel.training.solver import Action, Solver
from cafx.kernel.training.solver_file import engine_of_mode, net_sources, read_solver
from cafx.kernel.training.update import Update, plain_history, restore_history

__all__ = [
    "Action",
    "Array",
    "Hooks",
    "Lazy",
    "Monitors",
    "LOSS",
    "NEVER",
    "Policy",
    "Replicas",
    "Scores",
    "Solver",
    "Training",
    "Update",
    "UpdateRule",
    "engine_of_mode",
    "hookimpl",
    "make_communicator",
    "net_sources",
    "plain_history",
    "prefix_of",
    "read_solver",
    "restore_history",
]
