"""The command ``cafx draw``."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from cafx.cli.lazy import Settings
from cafx.cli.nets import inspect_net
from cafx.cli.options import dialect_option, state_options, trust_option
from cafx.kernel import CafxError
from cafx.kernel.blob import shape_text
from cafx.kernel.files import atomic_write

from .dot import Graph, graph_of, render

TEXT_FORMATS = (".dot", ".gv")
IMAGE_FORMATS = (".svg", ".png", ".pdf")
UNKNOWN = "unknown"


@click.command()
@click.argument("file", type=click.Path(dir_okay=False), metavar="NET")
@click.argument("picture", metavar="[OUT]", required=False)
@click.option("--out", "-o", metavar="FILE", help="A .svg, .png, .pdf or .dot file, as OUT (default: net.svg).")
@click.option(
    "--rankdir",
    type=click.Choice(["TB", "LR", "BT", "RL"]),
    default="TB",
    show_default=True,
    help="Direction of data flow: TB is top to bottom.",
)
@dialect_option
@state_options("TRAIN")
@trust_option
@click.option("--no-shapes", is_flag=True, help="Draw without building the net; its data are not needed.")
@click.pass_obj
def draw(
    settings: Settings,
    file: str,
    picture: str | None,
    out: str | None,
    rankdir: str,
    phase: str,
    level: int,
    stage: tuple[str, ...],
    trust: bool,
    no_shapes: bool,
) -> None:
    """Draw NET (a net's or solver's prototxt, or a net.py) as a graph.

    Data layers are green, losses red, layers with parameters blue (grey with --no-shapes). In-place layers
    are stacked below the layer whose blob they change. Graphviz's dot draws them where it is
    installed; without it, .svg and .dot files can be written.

    Python layers of a prototxt, and layers behind them, have no shapes: their modules are not imported, unless
    --trust says so.

    \b
    Examples:
    cafx draw deploy.prototxt net.svg
    cafx draw train_val.prototxt net.png --rankdir LR --no-shapes
    """
    if out and picture:
        raise click.UsageError(f"Two pictures are named: {picture} and {out}.")
    out = out or picture or "net.svg"
    path = Path(out)
    if path.suffix not in TEXT_FORMATS + IMAGE_FORMATS:
        raise CafxError("unsupported picture format", where=out, expected="a file ending in .svg, .png, .pdf or .dot")
    state: dict[str, Any] = {"level": level, "stage": stage}
    if no_shapes:
        graph = graph_of(settings.definition(file, phase, **state), rankdir)
    else:
        graph = _graph_of_built(file, phase, {**state, "trust": trust}, rankdir)
    content = graph.source.encode() if path.suffix in TEXT_FORMATS else render(graph, path.suffix[1:])
    with atomic_write(path) as target:
        target.write(content)
    click.echo(out)


def _graph_of_built(file: str, phase: str, settings: dict[str, Any], rankdir: str) -> Graph:
    """The graph with shapes and parameter counts, for which the net is built."""
    try:
        inspected = inspect_net(file, phase, **settings)
    except CafxError as error:
        hint = "--no-shapes draws a net without its data"
        error.remedy = f"{error.remedy}; {hint}" if error.remedy else hint
        raise
    with inspected.net as net:
        shapes = {name: shape_text(blob.shape) for name, blob in net.blobs.items()}
        counts = {name: sum(blob.count_ for blob in blobs) for name, blobs in net.params.items()}
    layers = inspected.definition.layers
    shapes |= {top: UNKNOWN for index in inspected.left_out for top in layers[index].proto.top}
    return graph_of(inspected.definition, rankdir, shapes, counts, inspected.not_loaded)
