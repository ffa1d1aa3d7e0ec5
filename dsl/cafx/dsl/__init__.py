"""Nets and solvers in Python, converted to prototxt: NetSpec, layers, params and SolverSpec."""

from cafx.dsl.function import Function, Top, to_proto
from cafx.dsl.namespaces import layers, params
from cafx.dsl.netfile import load_python
from cafx.dsl.netspec import NetSpec
from cafx.dsl.options import assign
from cafx.dsl.solverspec import SolverSpec

__version__ = "0.1.0"
__all__ = ["Function", "NetSpec", "SolverSpec", "Top", "assign", "layers", "load_python", "params", "to_proto"]
