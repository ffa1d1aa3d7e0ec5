"""Nets and solvers in Python, converted to prototxt: NetSpec, layers, params and SolverSpec."""

from cafx.dsl.function import Function, NotATopError, Top, to_proto
from cafx.dsl.local import layer, local_layers
from cafx.dsl.namespaces import Layers, layers, params
from cafx.dsl.netfile import load_python
from cafx.dsl.netspec import NetSpec
from cafx.dsl.options import assign
from cafx.dsl.solverspec import SolverSpec

__version__ = "0.1.0"
__all__ = [
    "Function",
    "Layers",
    "NetSpec",
    "NotATopError",
    "SolverSpec",
    "Top",
    "assign",
    "layer",
    "layers",
    "local_layers",
    "load_python",
    "params",
    "to_proto",
]
