"""Nets: layers, their graph, the engine seam and the passes."""

from cafx.kernel.net.arena import Arena, Range, Segment
from cafx.kernel.net.bases import LossLayer, NeuronLayer
from cafx.kernel.net.checks import Checks
from cafx.kernel.net.communicator import ALONE, ROOT, Communicator
from cafx.kernel.net.context import Context, Sent, Staging
from cafx.kernel.net.definition import (
    SPLIT_ROLE,
    LayerDefinition,
    NetDefinition,
    NetState,
    Source,
    as_message,
    filter_layers,
    insert_splits,
    read_net,
    upgrade,
)
from cafx.kernel.net.draws import Draws, HostDraws, PhiloxDraws, draws_in
from cafx.kernel.net.engine import (
    Device,
    Engine,
    available_engine,
    chosen_engine,
    default_threads,
    engine_of_kind,
    make_engine,
    set_engine,
    why_no_gpu,
)
from cafx.kernel.net.filler import Filler
from cafx.kernel.net.formats import (
    ABSENT,
    DEFAULT_FORMAT,
    BlobValues,
    Format,
    LayerWeights,
    TrainingState,
    format_named,
    format_of,
    not_weights,
    read_weights,
)
from cafx.kernel.net.graph import Graph, Node, arity_text, check_arity, connect, find_layer
from cafx.kernel.net.layer import Arity, Layer
from cafx.kernel.net.memory import Access, Buffer, MemoryPlan, Use, aligned, place_buffers, plan_memory
from cafx.kernel.net.net import TEST, TRAIN, Net
from cafx.kernel.net.parameters import Parameter, learnable
from cafx.kernel.net.plan import LayerPlan, NetPlan
from cafx.kernel.net.program import Observer, Program, Step, Update
from cafx.kernel.net.random import Streams
from cafx.kernel.net.routine import Compilation, Reference, Routine, Unsupported
from cafx.kernel.net.trust import is_trusted
from cafx.kernel.net.weights import Copied

__all__ = [
    "ABSENT",
    "Access",
    "ALONE",
    "Arena",
    "Arity",
    "BlobValues",
    "Buffer",
    "Checks",
    "Compilation",
    "Communicator",
    "Context",
    "Copied",
    "DEFAULT_FORMAT",
    "Device",
    "Draws",
    "Engine",
    "Filler",
    "Format",
    "Graph",
    "HostDraws",
    "Layer",
    "LayerDefinition",
    "LayerPlan",
    "LayerWeights",
    "LossLayer",
    "MemoryPlan",
    "Net",
    "NetDefinition",
    "NetPlan",
    "NetState",
    "NeuronLayer",
    "Node",
    "Observer",
    "Parameter",
    "PhiloxDraws",
    "Program",
    "ROOT",
    "Range",
    "Reference",
    "Routine",
    "SPLIT_ROLE",
    "Segment",
    "Sent",
    "Source",
    "Staging",
    "Step",
    "Streams",
    "TEST",
    "TRAIN",
    "TrainingState",
    "Unsupported",
    "Update",
    "Use",
    "aligned",
    "arity_text",
    "as_message",
    "available_engine",
    "check_arity",
    "chosen_engine",
    "connect",
    "default_threads",
    "draws_in",
    "engine_of_kind",
    "filter_layers",
    "format_named",
    "format_of",
    "insert_splits",
    "find_layer",
    "is_trusted",
    "learnable",
    "make_engine",
    "not_weights",
    "place_buffers",
    "plan_memory",
    "read_net",
    "read_weights",
    "set_engine",
    "upgrade",
    "why_no_gpu",
]
