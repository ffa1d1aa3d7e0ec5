"""The net that is exported: in TEST phase, its data layers replaced by inputs."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cafx.kernel import Net
    from cafx.kernel.net import NetDefinition

DATA_GROUP = "cafx.data"
EXAMPLE = "--shape data=1x3x227x227"
MOST_VALUES = 1 << 31
Shapes = Mapping[str, tuple[int, ...]]


def _parsed(_: click.Context, __: click.Parameter, texts: tuple[str, ...]) -> dict[str, tuple[int, ...]]:
    return dict(map(_shape, texts))


def _shape(text: str) -> tuple[str, tuple[int, ...]]:
    name, _, lengths = text.partition("=")
    parts = lengths.lower().replace("×", "x").replace(",", "x").split("x")
    if not name or not all(part.isascii() and part.isdigit() and 0 < len(part) < 10 for part in parts):
        raise click.BadParameter(f"'{text}' is not a blob and its shape, as in {EXAMPLE}.")
    shape = tuple(map(int, parts))
    total = 1
    for length in shape:
        total *= length
    if not 0 < total < MOST_VALUES:
        raise click.BadParameter(f"'{text}' has no values, or too many.")
    return name, shape


shape_option = click.option(
    "--shape",
    "shapes",
    multiple=True,
    metavar="BLOB=1x3x227x227",
    callback=_parsed,
    help="Shape of an input; makes it unnecessary to open the data of a data layer (repeatable).",
)


def deploy_net(definition: NetDefinition, weights: Sequence[str], shapes: Shapes, **settings: Any) -> Net:
    """Build a net whose data layers are replaced by inputs.

    Args:
        definition: the net's layers in TEST phase.
        weights: weights files.
        shapes: shapes of inputs, by blob.
        settings: keywords of `cafx.kernel.Net`.

    Raises:
        CafxError: the net is not valid, a data layer's data cannot be opened, or a weights file has none of its layers.
    """
    from cafx.kernel import TEST, CafxError, Net, registry, schema

    proto = schema(registry())["NetParameter"](name=definition.name)
    known: set[str] = set()
    for layer in definition.layers:
        target = proto.layer.add()
        target.CopyFrom(layer.proto)
        del target.include[:], target.exclude[:]
        known.update(layer.proto.top)
        if is_source(layer.proto):
            _replace(target, layer, shapes)
        elif layer.proto.type == "Input":
            _reshape(target, shapes)
    for name in shapes:
        if name not in known:
            raise CafxError(f"--shape: the net has no blob '{name}'", where=str(definition.source))
    net = Net(proto, TEST, **settings)
    for path in weights:
        if not net.copy_from(path).filled and net.params:
            raise CafxError(
                "contains no layer of this net", where=path, expected=f"layers such as {next(iter(net.params))}"
            )
    return net


def is_source(proto: Any) -> bool:
    """Whether a layer reads data from somewhere.

    Args:
        proto: the LayerParameter.
    """
    from cafx.kernel import registry

    plugin = registry().find("layer", proto.type)
    return plugin.group == DATA_GROUP and not proto.bottom and bool(proto.top) and proto.type != "Input"


def _replace(target: Any, layer: Any, shapes: Shapes) -> None:
    """Make a data layer an Input of its tops' shapes."""
    tops = list(layer.proto.top)
    found = {top: shapes[top] for top in tops if top in shapes}
    if tops[0] in found:
        found |= {top: found[tops[0]][:1] for top in tops if top not in found}
    else:
        found = {**_opened(layer), **found}
    name = target.name
    target.Clear()
    target.name, target.type = name, "Input"
    for top in tops:
        target.top.append(top)
        target.input_param.shape.add().dim.extend(found[top])


def _opened(layer: Any) -> dict[str, tuple[int, ...]]:
    """The shapes of a data layer's tops, from its data."""
    from cafx.kernel import TEST, CafxError, Net, registry, schema

    proto = schema(registry())["NetParameter"](name="data")
    copied = proto.layer.add()
    copied.CopyFrom(layer.proto)
    del copied.include[:], copied.exclude[:]
    try:
        with contextlib.closing(Net(proto, TEST, engine="numpy")) as net:
            return {name: blob.shape for name, blob in net.blobs.items()}
    except CafxError as error:
        error.where = layer.where
        error.remedy = f"{error.remedy or 'make the data available'}, or give the shape: --shape {layer.proto.top[0]}=…"
        raise


def _reshape(target: Any, shapes: Shapes) -> None:
    for index, top in enumerate(target.top):
        if top in shapes:
            given = target.input_param.shape
            while len(given) < len(target.top):
                given.add().CopyFrom(given[0])
            given[index].dim[:] = shapes[top]
