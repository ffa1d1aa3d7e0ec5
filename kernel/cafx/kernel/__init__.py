"""The kernel of cafx: Blob, Layer, Net, Solver, the schema, the registry and the engine seam."""

from cafx.kernel.bases import LossLayer, NeuronLayer
from cafx.kernel.blob import HOST, Blob, Place, SyncedArray
from cafx.kernel.core import FillerParameter, LossParameter, Phase, TransformationParameter
from cafx.kernel.engine import Engine, Routine, Unsupported, set_engine
from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.files import Format
from cafx.kernel.hooks import hookimpl
from cafx.kernel.layer import Context, Filler, Layer
from cafx.kernel.message import Message, above, at_least, message, one_of, option, within
from cafx.kernel.net import TEST, TRAIN, Net
from cafx.kernel.registry import Registry, registry
from cafx.kernel.rules import Policy, UpdateRule
from cafx.kernel.schema import Schema, schema
from cafx.kernel.solver import Action, Solver

__version__ = "0.1.0"
# fmt: off
__all__ = [
    "Action", "Blob", "CafxError", "Context", "Engine", "Filler", "FillerParameter", "Format", "HOST",
    "Layer", "LossLayer", "LossParameter", "Message", "Net", "NeuronLayer", "Phase", "Place", "Policy",
    "Registry", "Routine", "Schema", "Solver", "SyncedArray", "TEST", "TRAIN",
    "TransformationParameter", "UnknownNameError", "Unsupported", "UpdateRule", "above", "at_least",
    "hookimpl", "message", "one_of", "option", "registry", "schema", "set_engine",
    "within",
]
