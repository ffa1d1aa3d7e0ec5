"""Nets: layers, their graph, the engine seam and the passes."""

from cafx.kernel.net.bases import LossLayer, NeuronLayer
from cafx.kernel.net.definition import (
    SPLIT_ROLE,
    LayerDefinition,
    NetDefinition,
    NetState,
    Source,
    filter_layers,
    insert_splits,
    read_net,
    upgrade,
)
from cafx.kernel.net.engine import Engine, Routine, Unsupported, make_engine, set_engine
from cafx.kernel.net.formats import (
    ABSENT,
    DEFAULT_FORMAT,
    BlobValues,
    Format,
    LayerWeights,
    TrainingState,
    atomic_write,
    format_named,
    format_of,
    not_weights,
    read_weights,
)
from cafx.kernel.net.graph import Graph, Node, connect
from cafx.kernel.net.layer import Arity, Context, Filler, Layer, arity_text, fits
from cafx.kernel.net.memory import Arena, Layout, Life, Stretch, aligned, aligned_empty, plan
from cafx.kernel.net.net import TEST, TRAIN, Net
from cafx.kernel.net.random import Streams
from cafx.kernel.net.step import Step
from cafx.kernel.net.weights import Copied

__all__ = [
    "ABSENT",
    "Arena",
    "Arity",
    "BlobValues",
    "Context",
    "Copied",
    "DEFAULT_FORMAT",
    "Engine",
    "Filler",
    "Format",
    "Graph",
    "Layer",
    "LayerDefinition",
    "LayerWeights",
    "Layout",
    "Life",
    "LossLayer",
    "Net",
    "NetDefinition",
    "NetState",
    "NeuronLayer",
    "Node",
    "Routine",
    "SPLIT_ROLE",
    "Source",
    "Step",
    "Streams",
    "Stretch",
    "TEST",
    "TRAIN",
    "TrainingState",
    "Unsupported",
    "aligned",
    "aligned_empty",
    "arity_text",
    "atomic_write",
    "connect",
    "filter_layers",
    "fits",
    "format_named",
    "format_of",
    "insert_splits",
    "make_engine",
    "not_weights",
    "plan",
    "read_net",
    "read_weights",
    "set_engine",
    "upgrade",
]
