"""The kinds of plugins in the catalogue: their folders, titles and introductions."""

from __future__ import annotations

import attrs

from cafx.cli.pages import file_name
from cafx.kernel.registry import Plugin


@attrs.frozen
class Kind:
    """One kind of plugin.

    Attributes:
        group: its entry-point group.
        title: heading of its list.
        intro: what such a plugin does, and how one is chosen; Markdown.
    """

    group: str
    title: str
    intro: str

    @property
    def folder(self) -> str:
        """Folder of its pages: the group without its prefix."""
        return self.group.removeprefix("cafx.")


KINDS = (
    Kind("cafx.layers", "Layers", "Layer types, by what a prototxt writes as `type` and the DSL as `L.TYPE(…)`."),
    Kind("cafx.losses", "Losses", "Layer types whose top is a loss, with `loss_weight` 1 unless another is given."),
    Kind("cafx.data", "Data layers", "Layer types that bring data into a net or write blobs to files."),
    Kind("cafx.databases", "Databases", "What a Data layer reads, by its option `backend`."),
    Kind("cafx.solvers", "Solvers", "Update rules, by the solver's option `type`."),
    Kind("cafx.policies", "Learning rate policies", "The learning rate of each iteration, by the option `lr_policy`."),
    Kind("cafx.fillers", "Fillers", "Initial values of parameters, by the option `type` of a `FillerParameter`."),
    Kind("cafx.engines", "Engines", "What computes a net: `--engine NAME`, `set_engine`, or `Net(…, engine=NAME)`."),
    Kind("cafx.monitors", "Monitors", "Listeners to a training: `cafx train --monitor NAME[=TARGET]`."),
    Kind("cafx.formats", "Weights formats", "Files of weights and solver states, recognised by their contents."),
    Kind("cafx.commands", "Commands", "The command line: `cafx COMMAND`."),
    Kind("cafx.models", "Reference models", "Published architectures as functions that return a `NetSpec`."),
    Kind("cafx.dialects", "Dialects", "Fields and values that forks of Caffe added to its messages."),
    Kind("cafx.upgrades", "Upgrades", "Rewrites of nets, solvers and weights when they are read."),
    Kind("cafx.communicators", "Communicators", "How processes that train together exchange gradients."),
    Kind("cafx.executors", "Executors", "How large data jobs are divided: `--executor NAME` of the commands for data."),
    Kind("cafx.sources", "Model sources", "Where `cafx models get` finds a model, by the prefix of its address."),
)
LAYERS = ("cafx.layers", "cafx.losses", "cafx.data")
LEFT_OUT = {
    "role": "parts that the kernel needs and users do not choose",
    "onnx": "converters, which the pages of the layers and the page about ONNX list",
}
"""Kinds of the registry without a list, and why."""


def page_name(plugin: Plugin) -> str:
    """A plugin's page within the catalogue, without suffix, such as ``layers/relu``."""
    return f"{plugin.group.removeprefix('cafx.')}/{file_name(plugin)}"
