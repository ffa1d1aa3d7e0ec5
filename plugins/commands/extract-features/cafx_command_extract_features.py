"""``cafx extract-features``: values of some blobs of a net, in a database or an HDF5 file."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from cafx.cli.options import EngineChoice, engine_options

DATUM_AXES = 4
"""Number of axes of a batch of Datums."""
BACKENDS = click.Choice(["lmdb", "leveldb", "hdf5"], case_sensitive=False)


@click.command()
@click.argument("weights", type=click.Path(dir_okay=False))
@click.argument("net", type=click.Path(dir_okay=False))
@click.argument("blobs", metavar="BLOB[,BLOB]")
@click.argument("outs", metavar="OUT[,OUT]")
@click.argument("batches", type=click.IntRange(1))
@click.argument("kind", metavar="[lmdb|leveldb|hdf5]", type=BACKENDS, required=False)
@click.option("--backend", "-b", type=BACKENDS, help="Output format, as the last argument (default: lmdb).")
@engine_options
def extract_features(
    weights: str,
    net: str,
    blobs: str,
    outs: str,
    batches: int,
    kind: str | None,
    backend: str | None,
    engine: EngineChoice,
) -> None:
    """Run NET with WEIGHTS for BATCHES batches and store each BLOB in the corresponding OUT.

    Databases get one item per example, as with Caffe's extract_features. HDF5 files get one dataset, named after
    the blob, which an HDF5Data layer can read.

    \b
    Example:
    cafx extract-features net.caffemodel net.prototxt fc7,prob \\
        fc7_lmdb,prob_lmdb 10
    """
    from cafx.kernel import TEST, CafxError, Net

    names, paths = blobs.split(","), outs.split(",")
    backend = (backend or kind or "lmdb").lower()
    if len(names) != len(paths):
        raise CafxError("blobs and outputs differ in number", found=f"{len(names)} and {len(paths)}")
    with contextlib.ExitStack() as stack:
        built = stack.enter_context(Net(net, TEST, weights=weights, keep=names, trust=True, **engine.keywords()))
        open_output = _hdf5 if backend == "hdf5" else _database
        outputs = [open_output(stack, name, path, backend) for name, path in zip(names, paths, strict=True)]
        count = dict.fromkeys(names, 0)
        for _ in range(batches):
            built.run_forward()
            for name, store in zip(names, outputs, strict=True):
                values = built.blobs[name].host()
                store(values, count[name])
                count[name] += len(values) if values.ndim else 1
        notices = [text for layer in built.layers if (text := _repetition(layer))]
    for name, path in zip(names, paths, strict=True):
        click.echo(f"{path}: {count[name]} rows of '{name}'")
    for text in notices:
        click.echo(text, err=True)


def _repetition(layer: Any) -> str:
    """A notice if a data layer has begun again, so that examples are stored more than once."""
    feed = getattr(layer, "feed", None)
    epoch = feed.source.epoch if feed else 0
    size = layer.options.batch_size if epoch else 0
    if not epoch or feed.batches * size <= epoch:
        return ""
    read, enough = feed.batches * size, -(-epoch // size)
    return (
        f"note: layer '{layer.name}' read {read} items, but its source has {epoch}: it began again, and features are "
        f"stored more than once; {enough} batch{'es' * (enough != 1)} of {size} cover all items"
    )


def _database(stack: contextlib.ExitStack, name: str, path: str, backend: str) -> Callable[[Any, int], None]:
    """A function that stores examples as Datums of floats, with their numbers as keys."""
    from cafx.kernel import CafxError
    from cafx_lib_feed.datum import datum_bytes
    from cafx_lib_feed.tools import create

    writer = stack.enter_context(create(path, backend))

    def store(values: Any, first: int) -> None:
        if not 1 <= values.ndim <= DATUM_AXES:
            raise CafxError(
                f"blob '{name}' has {values.ndim} axes",
                expected=f"1 to {DATUM_AXES}",
                remedy="--backend hdf5 stores any number",
            )
        rows = values.reshape(values.shape + (1,) * (DATUM_AXES - values.ndim)).astype("f4")
        writer.put([(f"{first + i:010d}".encode(), datum_bytes(row)) for i, row in enumerate(rows)])

    return store


def _hdf5(stack: contextlib.ExitStack, name: str, path: str, backend: str) -> Callable[[Any, int], None]:
    """A function that appends rows to a dataset of a file, which has its name once it is complete."""
    from cafx_lib_feed.database import checked_target
    from cafx_lib_hdf5 import writing

    file = stack.enter_context(writing(checked_target(Path(path))))

    def store(values: Any, first: int) -> None:
        file.append(name, values if values.ndim else values.reshape(1))

    return store
