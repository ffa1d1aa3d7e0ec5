"""``cafx plot``: curves of training logs, and features in the plane."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cafx.cli.defaulting import DefaultGroup
from cafx_command_plot.embedding import embedding
from cafx_command_plot.training import Curves, draw, names_of, read, training

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__version__ = "0.1.0"
__all__ = ["Curves", "draw", "embedding", "names_of", "plot", "read", "training"]


@click.group(cls=DefaultGroup, default=training)
def plot() -> None:
    """Plot the curves of one or several training runs on shared axes; or, with 'embedding', features in the plane.

    \b
    Examples:
    cafx train net.py --metrics run.csv && cafx plot run.csv
    cafx plot first.log second.log --only loss --smooth 20 --out loss.svg
    cafx plot embedding features.h5 --labels labels.txt
    """


plot.add_command(embedding)


def cases() -> Iterable[CommandCase]:
    """A metrics file; features with labels in the same file, and with a list of labels."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx_command_plot.examples import write_features, write_metrics

    yield CommandCase("training", ["m.csv", "--out", "m.png"], write_metrics, ["m.png"])
    tsne = ["embedding", "f.h5", "--labels", "f.h5:label", "--out", "e.png"]
    yield CommandCase("tsne", tsne, write_features, ["e.png"])
    pca = ["embedding", "f.h5:features", "--labels", "l.txt", "--method", "pca", "--out", "e.png", "--json"]
    yield CommandCase("pca", pca, write_features, ["e.png"])
