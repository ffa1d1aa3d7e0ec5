"""``cafx onnx``: nets to ONNX and back."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cafx_command_onnx.checked import check
from cafx_command_onnx.coverage import coverage
from cafx_command_onnx.export import export
from cafx_command_onnx.imported import import_
from cafx_command_onnx.quantized import quantize

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase


@click.group()
def onnx() -> None:
    """Convert nets to ONNX and back, compare and quantize them.

    \b
    Example:
    cafx onnx export deploy.prototxt net.onnx -w net.caffemodel
    cafx onnx check deploy.prototxt net.onnx -w net.caffemodel
    cafx onnx import resnet18.onnx resnet18
    """


onnx.add_command(export)
onnx.add_command(import_)
onnx.add_command(check)
onnx.add_command(quantize)
onnx.add_command(coverage)


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_onnx.conformance_cases`."""
    from cafx_command_onnx import conformance_cases as own

    return own.cases()
