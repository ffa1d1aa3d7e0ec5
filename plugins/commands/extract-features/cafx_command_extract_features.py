"""``cafx extract-features``: values of some blobs of a net, in a database or an HDF5 file."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import EngineChoice, engine_options
from cafx_lib_jobs.options import JobChoice, job_options

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase
    from cafx_lib_jobs.hold import Hold
    from cafx_lib_jobs.task import Report

DATUM_AXES = 4
"""Number of axes of a batch of Datums."""
LEAST_BATCHES, MOST_BATCHES = 4, 256
"""Batches of a slice of a job."""
SEED = 0
"""Of the nets: all workers must shuffle and mirror alike, and as a run without workers does."""
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
@job_options
def extract_features(
    weights: str,
    net: str,
    blobs: str,
    outs: str,
    batches: int,
    kind: str | None,
    backend: str | None,
    engine: EngineChoice,
    jobs: JobChoice,
) -> None:
    """Run NET with WEIGHTS for BATCHES batches and store each BLOB in the corresponding OUT.

    Databases get one item per example, as with Caffe's extract_features. HDF5 files get one dataset, named after
    the blob, which an HDF5Data layer can read. With --executor, workers run slices of the batches, each with a net of
    its own.

    \b
    Example:
    cafx extract-features net.caffemodel net.prototxt fc7,prob \\
        fc7_lmdb,prob_lmdb 10
    """
    from cafx.kernel import CafxError

    names, paths = blobs.split(","), outs.split(",")
    backend = (backend or kind or "lmdb").lower()
    if len(names) != len(paths):
        raise CafxError("blobs and outputs differ in number", found=f"{len(names)} and {len(paths)}")
    how = {"net": net, "weights": weights, "names": names, "engine": {**engine.keywords(), "seed": SEED}}
    if jobs:
        _check_targets(paths)
    with contextlib.ExitStack() as stack:
        features = _in_slices(how, batches, paths[0], jobs) if jobs else _in_turn(how, batches)
        arrays, sources = stack.enter_context(features)
        open_output = _hdf5 if backend == "hdf5" else _database
        outputs = [open_output(stack, name, path, backend) for name, path in zip(names, paths, strict=True)]
        count = dict.fromkeys(names, 0)
        for name, store, values in zip(itertools.cycle(names), itertools.cycle(outputs), arrays, strict=False):
            store(values, count[name])
            count[name] += len(values) if values.ndim else 1
        notices = [text for source in sources if (text := _repetition(*source, batches))]
    for name, path in zip(names, paths, strict=True):
        click.echo(f"{path}: {count[name]} rows of '{name}'")
    for text in notices:
        click.echo(text, err=True)


Features = tuple[Iterator[Any], Sequence[tuple[str, int, int]]]
"""The values of each blob, batch by batch; name, batch size and number of items of data layers, complete at the end."""


@contextlib.contextmanager
def _in_turn(how: dict[str, Any], batches: int) -> Iterator[Features]:
    """Run all batches in this process."""
    with _build(**how) as built:
        sources: list[tuple[str, int, int]] = []

        def arrays() -> Iterator[Any]:
            yield from _run(built, how["names"], batches)
            sources.extend(_sources(built))

        yield arrays(), sources


@contextlib.contextmanager
def _in_slices(how: dict[str, Any], batches: int, path: str, jobs: JobChoice) -> Iterator[Features]:
    """Run slices of the batches as a job."""
    from cafx_lib_jobs.job import Job
    from cafx_lib_jobs.manifest import Manifest
    from cafx_lib_jobs.records import read_arrays

    inputs = [how["net"], how["weights"], *_source_paths(how["net"])]
    job = Job(
        function=extract_slice,
        arguments=how,
        records=range(batches),
        manifest=Manifest.of(batches, least=LEAST_BATCHES, most=MOST_BATCHES),
        label="extracting",
        unit="batches",
        target=path,
        inputs=lambda _: inputs,
    )
    sources: list[tuple[str, int, int]] = []
    with job.outcomes(jobs) as outcomes:

        def arrays() -> Iterator[Any]:
            for outcome in outcomes:
                sources[:] = outcome.report.values["sources"]
                yield from read_arrays(outcome.out)

        yield arrays(), sources


def extract_slice(
    records: Sequence[int], out: Path, hold: Hold, *, net: str, weights: str, names: list[str], engine: dict[str, Any]
) -> Report:
    """Run a slice of the batches, and write the values of each blob, batch by batch.

    Args:
        records: numbers of the batches.
        out: the path to write to.
        hold: keeps the net.
        net, weights, names, engine: the net, its weights, the blobs, and keywords of `cafx.kernel.Net`.
    """
    from cafx_lib_jobs.records import write_arrays
    from cafx_lib_jobs.task import Report

    built = hold.get(_build, net, weights, names, {**engine, "threads": engine["threads"] or hold.cores})
    _seek(built, records[0])
    write_arrays(out, _run(built, names, len(records)))
    return Report(len(records), values={"sources": _sources(built)})


def _build(net: str, weights: str, names: list[str], engine: dict[str, Any]) -> Any:
    from cafx.kernel import TEST, Net

    return Net(net, TEST, weights=weights, keep=names, trust=True, **engine)


def _run(built: Any, names: list[str], batches: int) -> Iterator[Any]:
    """The values of each blob, batch by batch."""
    for _ in range(batches):
        built.run_forward()
        for name in names:
            yield built.blobs[name].host()


def _seek(built: Any, batch: int) -> None:
    """Let the net continue with a batch.

    Raises:
        CafxError: its results depend on the batches before.
    """
    from cafx.kernel import CafxError
    from cafx_lib_feed.layer import BatchLayer

    for layer in built.layers:
        if isinstance(layer, BatchLayer):
            layer.restore({"batches": batch})
        elif layer.keeps_state or not (layer.deterministic or layer.bottoms):
            raise CafxError(
                "may depend on the batches before, so that they cannot be divided among workers",
                where=layer.where,
                remedy="run without --executor",
            )


def _source_paths(net: str) -> list[str]:
    """The files and databases that layers of a net read."""
    from cafx.cli.nets import net_definition

    options = [value for each in net_definition(net, "TEST").layers for _, value in each.proto.ListFields()]
    return [value.source for value in options if isinstance(getattr(value, "source", None), str)]


def _sources(built: Any) -> list[tuple[str, int, int]]:
    """Name, batch size and number of items of each data layer that begins again at its end."""
    feeds = [(layer, layer.feed.source.epoch) for layer in built.layers if getattr(layer, "feed", None)]
    return [(layer.name, layer.options.batch_size, epoch) for layer, epoch in feeds if epoch]


def _check_targets(paths: Sequence[str]) -> None:
    """Refuse outputs that exist before anything runs."""
    from cafx_lib_feed.database import checked_target

    for path in paths:
        checked_target(Path(path))


def _repetition(name: str, size: int, epoch: int, batches: int) -> str:
    """A notice if a data layer has begun again, so that examples are stored more than once."""
    read, enough = batches * size, -(-epoch // size)
    if read <= epoch:
        return ""
    return (
        f"note: layer '{name}' read {read} items, but its source has {epoch}: it began again, and features are "
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


def cases() -> Iterable[CommandCase]:
    """A blob to HDF5 and to LMDB."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import NET, database_contents, write_database, write_net

    def prepare(folder: Path) -> None:
        write_net(folder)
        write_database(folder)
        data = 'layer { name: "data" type: "Data" top: "data" data_param { source: "db" backend: LMDB batch_size: 2 } }'
        (folder / "net.prototxt").write_text("\n".join([data, *NET.splitlines()[2:]]))

    run = ["net.caffemodel", "net.prototxt", "prob", "out", "2", "lmdb", "--engine", "numpy"]
    yield CommandCase("lmdb", run, prepare, ["out"], contents=database_contents)
