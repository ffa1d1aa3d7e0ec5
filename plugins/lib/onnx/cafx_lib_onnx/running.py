"""Running ONNX models with onnxruntime, which is installed only by those who want it."""

from __future__ import annotations

import tempfile
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import onnx

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_onnx.files import LARGEST, save_model

Array = npt.NDArray[Any]
RUNTIME = "onnxruntime>=1.20,<2"
ERRORS_ONLY = 3
ITS_CHOICE = 0
"""Number of threads that stands for onnxruntime's own choice."""


def require_runtime() -> Any:
    """The module onnxruntime.

    Raises:
        CafxError: it is not installed.
    """
    try:
        import onnxruntime
    except ImportError:
        raise CafxError("onnxruntime is not installed", remedy=f'pip install "{RUNTIME}"') from None
    onnxruntime.set_default_logger_severity(ERRORS_ONLY)
    return onnxruntime


class Session:
    """A model in onnxruntime, on the CPU.

    Args:
        model: the model, or its file.
        threads: number of threads; None for onnxruntime's choice.
        optimise: whether onnxruntime may rewrite the graph.

    Attributes:
        inputs: the names of the inputs.
        shapes: the shape of each input; an open length is a name or None.
        outputs: the names of the outputs.

    Raises:
        CafxError: onnxruntime is not installed, or does not accept the model.
    """

    def __init__(self, model: onnx.ModelProto | str | Path, threads: int | None = None, optimise: bool = True) -> None:
        runtime = require_runtime()
        options = runtime.SessionOptions()
        options.log_severity_level = ERRORS_ONLY
        options.intra_op_num_threads = threads or ITS_CHOICE
        if not optimise:
            options.graph_optimization_level = runtime.GraphOptimizationLevel.ORT_DISABLE_ALL
        where = shown(model) if isinstance(model, (str, Path)) else None
        with _source(model) as source:
            try:
                self.session = runtime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
            except Exception as error:  # noqa: BLE001 - onnxruntime has an exception class per status
                raise CafxError(f"onnxruntime refuses the model: {_reason(error)}", where=where) from None
        self.inputs = [each.name for each in self.session.get_inputs()]
        self.shapes = {each.name: tuple(each.shape) for each in self.session.get_inputs()}
        self.outputs = [each.name for each in self.session.get_outputs()]

    def run(self, inputs: Mapping[str, Array]) -> dict[str, Array]:
        """The outputs' values.

        Args:
            inputs: a value for each input; others are ignored.

        Raises:
            CafxError: an input is missing, or the model cannot be run.
        """
        missing = [name for name in self.inputs if name not in inputs]
        if missing:
            raise CafxError("an input of the model has no value", found=", ".join(missing))
        fed = {name: np.asarray(inputs[name], np.float32) for name in self.inputs}
        try:
            return dict(zip(self.outputs, self.session.run(self.outputs, fed), strict=True))
        except Exception as error:  # noqa: BLE001 - onnxruntime has an exception class per status
            raise CafxError(f"onnxruntime cannot run the model: {_reason(error)}") from None


@contextmanager
def _source(model: onnx.ModelProto | str | Path) -> Iterator[str | bytes]:
    """What onnxruntime loads a model from: its file, its bytes, or a temporary file if these are too many."""
    if isinstance(model, (str, Path)):
        yield str(model)
    elif sum(len(tensor.raw_data) for tensor in model.graph.initializer) <= LARGEST:
        yield bytes(model.SerializeToString())
    else:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder, "model.onnx")
            save_model(model, path)
            yield str(path)


def _reason(error: Exception) -> str:
    return shown(" ".join(str(error).split())[:400])


def with_outputs(model: onnx.ModelProto, wanted: Collection[str]) -> onnx.ModelProto:
    """A copy of a model that also returns inner values.

    Args:
        model: the model.
        wanted: names of values; those that no node computes are ignored.
    """
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    known = {each.name for each in copied.graph.output}
    for node in copied.graph.node:
        for value in node.output:
            if value in wanted and value not in known:
                copied.graph.output.add(name=value)
                known.add(value)
    return copied
