"""The conformance suite of cafx: the requirements on every plugin, first-party or not."""

from cafx.conformance.cases import Bottom, Case, distinct, labels, normal, uniform, values
from cafx.conformance.harness import Run, Trial, run_layer, run_rule
from cafx.conformance.suite import CheckFailure, Subject, items, layer_suite, load_checks, plugin_suite

__version__ = "0.1.0"
__all__ = [
    "Bottom",
    "Case",
    "CheckFailure",
    "Run",
    "Subject",
    "Trial",
    "distinct",
    "items",
    "labels",
    "layer_suite",
    "load_checks",
    "normal",
    "plugin_suite",
    "run_layer",
    "run_rule",
    "uniform",
    "values",
]
