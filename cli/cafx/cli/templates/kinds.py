"""The kinds of plugin that ``cafx new`` creates."""

from __future__ import annotations

from collections.abc import Mapping

import attrs

FEED, JOBS, ZOO = "cafx-lib-feed", "cafx-lib-jobs", "cafx-lib-zoo"
NUMPY, CLICK = "numpy>=1.26,<3", "click>=8.1,<9"


@attrs.frozen
class Kind:
    """A kind of plugin, and what sets it apart from the others.

    The folder of the same name has ``module.py.tmpl``, ``test.py.tmpl`` and ``usage.md.tmpl``.

    Attributes:
        name: the kind, as in ``cafx new KIND``.
        summary: what such a plugin is, in a line.
        group: its entry-point group, in which ``$engine`` stands for an engine.
        style: how the names that users write look, a key of `cafx.cli.templates.names.STYLES`.
        example: a name, for the help text.
        starts_with: what the template computes, which the author is to replace.
        use: how it is used, in a line.
        registered: the registry's kind; "" if it has the same name.
        is_function: whether the entry point refers to a function or command, not to a class.
        needs: distributions that it depends on, besides cafx-kernel.
        names_a_layer: whether NAME is a layer type that exists already.
        also: a further entry point: its group, name and object.
    """

    name: str
    summary: str
    group: str
    style: str
    example: str
    starts_with: str
    use: str
    registered: str = ""
    is_function: bool = False
    needs: tuple[str, ...] = ()
    names_a_layer: bool = False
    also: tuple[str, str, str] | None = None


EVERY = (
    Kind(
        "layer",
        "A layer: forward and backward pass, options.",
        "cafx.layers",
        "type",
        "SoftClip",
        "y = x + amount · x²",
        "In a net: L.$Type(bottom)",
        also=("cafx.onnx", "$Type", "${Type}Onnx"),
    ),
    Kind(
        "loss",
        "A loss layer, with gradients.",
        "cafx.losses",
        "type",
        "SmoothLoss",
        "L = Σ log cosh(a − b) / N",
        "In a net: L.$Type(prediction, target)",
        registered="layer",
        needs=(NUMPY,),
    ),
    Kind(
        "data",
        "A data layer: batches of records, prefetched.",
        "cafx.data",
        "type",
        "TableData",
        "batches of the rows of a text file",
        'In a net: L.$Type(source="rows.txt", batch_size=10)',
        registered="layer",
        needs=(FEED, NUMPY),
    ),
    Kind(
        "database",
        "A kind of database, for Data layers and tools.",
        "cafx.databases",
        "upper",
        "SQLITE",
        "keys and values in a file of SQLite",
        'In a net: L.Data(source="FOLDER", database="$entry")',
        needs=(FEED,),
    ),
    Kind(
        "solver",
        "A solver: an update rule.",
        "cafx.solvers",
        "type",
        "Averaged",
        "a running average of gradients",
        'In a solver: type: "$entry"',
        needs=(NUMPY,),
    ),
    Kind(
        "policy",
        "A learning rate policy.",
        "cafx.policies",
        "snake",
        "cosine",
        "half a cosine wave from base_lr to 0",
        'In a solver: lr_policy: "$entry"',
    ),
    Kind(
        "filler",
        "A filler: initial values of parameters.",
        "cafx.fillers",
        "snake",
        "laplace",
        "draws from a Laplace distribution",
        'In a layer: weight_filler={"type": "$entry"}',
        needs=(NUMPY,),
    ),
    Kind(
        "monitor",
        "A monitor: watches training.",
        "cafx.monitors",
        "snake",
        "lowest",
        "a line with the lowest loss, when training ends",
        "In a training: cafx train net.py --monitor $entry",
    ),
    Kind(
        "routine",
        "A faster implementation of a layer for one engine.",
        "cafx.engines.$engine",
        "type",
        "PReLU",
        "the layer as its author wrote it",
        "In a net: it is chosen with --engine $engine; 'cafx net FILE' shows it",
        registered="engine.$engine",
        names_a_layer=True,
    ),
    Kind(
        "command",
        "A command of cafx.",
        "cafx.commands",
        "dashed",
        "count-layers",
        "the number of layers of each type",
        "On the command line: cafx $entry",
        is_function=True,
        needs=("cafx-cli", CLICK),
    ),
    Kind(
        "format",
        "A file format of weights and solver states.",
        "cafx.formats",
        "upper",
        "PLAIN",
        "a header of JSON, values, and a checksum",
        'In Python: net.save("weights.$short")',
        needs=(NUMPY,),
    ),
    Kind(
        "upgrade",
        "Rewrites nets, solvers and weights when they are read.",
        "cafx.upgrades",
        "snake",
        "my_fork",
        "a layer type under another name",
        "It works on every net, solver and weights file that is read",
    ),
    Kind(
        "dialect",
        "Fields that a fork of Caffe added to messages.",
        "cafx.dialects",
        "snake",
        "my_fork",
        "two fields of pooling_param",
        "In a net: the fields of the fork, as in the fork",
    ),
    Kind(
        "communicator",
        "How processes that train together exchange arrays.",
        "cafx.communicators",
        "snake",
        "star",
        "connections of all processes to the first",
        "On the command line: cafx train net.py --communicator $entry",
        needs=(NUMPY,),
    ),
    Kind(
        "executor",
        "Runs the slices of a data job.",
        "cafx.executors",
        "snake",
        "processes",
        "processes of this machine",
        "On the command line: cafx COMMAND --executor $entry",
        needs=(JOBS,),
    ),
    Kind(
        "source",
        "A place that trained models come from.",
        "cafx.sources",
        "short",
        "mirror",
        "a folder per model on a web server",
        "On the command line: cafx models get $entry:NAME",
        needs=(ZOO,),
    ),
    Kind(
        "onnx",
        "A converter of one layer type to ONNX.",
        "cafx.onnx",
        "type",
        "SoftClip",
        "a refusal, which names what is to be written",
        "On the command line: cafx onnx export net.prototxt net.onnx",
        needs=("cafx-lib-onnx",),
        names_a_layer=True,
    ),
    Kind(
        "model",
        "A reference model: a function that returns a NetSpec.",
        "cafx.models",
        "snake",
        "tiny_net",
        "a small convolutional net",
        'In Python: registry().load("model", "$entry")()',
        is_function=True,
        needs=("cafx-dsl",),
    ),
)
KINDS: Mapping[str, Kind] = {kind.name: kind for kind in EVERY}
ALIASES = {"engine-routine": "routine", "converter": "onnx", "data-layer": "data", "loss-layer": "loss"}
"""Other names of kinds."""
