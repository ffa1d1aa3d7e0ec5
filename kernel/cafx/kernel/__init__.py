"""The kernel of cafx: what plugin authors subclass and users call.

Users: `Net`, `Solver`, `Blob`, `set_engine`, `registry`, `schema`. Plugin authors: `Layer` and its bases,
`Filler`, `Format`, `Policy`, `UpdateRule`, `Engine`, `Routine`, and `message` and `option` to declare options.

Example:
    >>> from cafx.kernel import Net, schema
    >>> text = '''
    ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
    ... layer { name: "relu" type: "ReLU" bottom: "x" top: "y" }'''
    >>> with Net(schema().parse_text(text, "NetParameter"), engine="numpy") as net:
    ...     net.forward(x=[-1, 2])["y"].tolist()
    [0.0, 2.0]
"""

from cafx.kernel.blob import HOST, Blob, Place, SyncedArray
from cafx.kernel.crash import PluginError
from cafx.kernel.errors import CafxError, UnknownNameError
from cafx.kernel.net import (
    TEST,
    TRAIN,
    Context,
    Device,
    Engine,
    Filler,
    Format,
    Layer,
    LossLayer,
    Net,
    NeuronLayer,
    Routine,
    Unsupported,
    set_engine,
)
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema import (
    FillerParameter,
    LossParameter,
    Message,
    Phase,
    Schema,
    TransformationParameter,
    above,
    at_least,
    message,
    one_of,
    option,
    schema,
    within,
)
from cafx.kernel.training import Action, Policy, Solver, UpdateRule, hookimpl

__version__ = "0.1.0"
__all__ = [
    "Action",
    "Blob",
    "CafxError",
    "Context",
    "Device",
    "Engine",
    "Filler",
    "FillerParameter",
    "Format",
    "HOST",
    "Layer",
    "LossLayer",
    "LossParameter",
    "Message",
    "Net",
    "NeuronLayer",
    "Phase",
    "Place",
    "PluginError",
    "Policy",
    "Registry",
    "Routine",
    "Schema",
    "Solver",
    "SyncedArray",
    "TEST",
    "TRAIN",
    "TransformationParameter",
    "UnknownNameError",
    "Unsupported",
    "UpdateRule",
    "above",
    "at_least",
    "hookimpl",
    "message",
    "one_of",
    "option",
    "registry",
    "schema",
    "set_engine",
    "within",
]
