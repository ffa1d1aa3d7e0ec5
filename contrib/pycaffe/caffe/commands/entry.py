"""The entry point of all programs, which are told apart by the name under which they are started."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from typing import NoReturn

from cafx.cli.main import run as run_command
from cafx.cli.process import exit_after

MODULES = {
    "main": ["caffe"],
    "tools": [
        "convert_imageset",
        "compute_image_mean",
        "extract_features",
        "upgrade_net_proto_text",
        "upgrade_net_proto_binary",
        "upgrade_solver_proto_text",
        "convert_mnist_data",
        "convert_mnist_siamese_data",
        "convert_cifar_data",
    ],
    "logs": ["parse_log"],
    "scripts": ["draw_net", "classify", "detect"],
}
"""Programs by the module that defines them."""
SUFFIXES = (".bin", ".py", ".exe")
"""Endings of a program's file name that do not belong to its name."""


def run() -> NoReturn:
    """Run the program that this process was started as, and exit with its exit code.

    A file of the name ``NAME``, ``NAME.bin`` or ``NAME.py`` runs the program NAME, links included.
    """
    name = Path(sys.argv[0]).name
    for suffix in SUFFIXES:
        name = name.removesuffix(suffix)
    module = next((each for each, names in MODULES.items() if name in names), None)
    if module is None:
        known = [program for names in MODULES.values() for program in names]
        sys.exit(f"error: {name}: not one of Caffe's programs: {', '.join(known)}")
    exit_after(
        lambda: run_command(
            None, getattr(importlib.import_module(f"caffe.commands.{module}"), name), Path(sys.argv[0]).name
        )
    )
