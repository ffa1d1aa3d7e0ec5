"""``cafx classify``: the most likely classes of images."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options, json_option, quiet_option, split_commas, weights_option
from cafx_lib_inputs.options import preprocessing_options, size_of, tell
from cafx_lib_jobs.options import JobChoice, job_options

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase
    from cafx_lib_inputs import Scorer
    from cafx_lib_jobs.hold import Hold
    from cafx_lib_jobs.task import Report
    from cafx_lib_preprocessing import Preprocessing

Classes = list[tuple[int, str, float]]
"""Number, name and score of some classes, the best first."""
MOST_IMAGES = 1024
"""Images of a slice of a job, at most."""


@click.command()
@click.argument("model", type=click.Path())
@click.argument("images", nargs=-1, required=True, metavar="IMAGE…")
@weights_option
@click.option("--top", type=click.IntRange(1), default=5, show_default=True, metavar="N", help="Classes per image.")
@preprocessing_options("antialias")
@click.option("--size", metavar="HxW", help="Resize images to this before cropping (default: the net's input).")
@click.option(
    "--crops", type=click.Choice(["1", "10"]),
    help="Score the central crop, or average ten: corners, centre, and their mirror images.  [default: 1]",
)  # fmt: skip
@click.option("--output", metavar="BLOB", help="Blob with the scores (default: the last output).")
@click.option("--batch", type=click.IntRange(1), metavar="N", help="Crops per pass (default: the net's batch size).")
@engine_options
@click.option("--csv", "as_csv", is_flag=True, help="Print a table: file, rank, class, label, score.")
@json_option
@quiet_option
@job_options
@click.pass_obj
def classify(
    settings: Settings,
    model: str,
    images: tuple[str, ...],
    weights: tuple[str, ...],
    preprocessing: Callable[..., Preprocessing],
    top: int,
    as_csv: bool,
    as_json: bool,
    quiet: bool,
    engine: EngineChoice,
    size: str | None,
    crops: str | None,
    output: str | None,
    batch: int | None,
    jobs: JobChoice,
) -> None:
    """Print the most likely classes of each IMAGE: files, folders or patterns such as 'photos/**/*.jpg'.

    MODEL is a deploy prototxt, or a model's folder as 'cafx models get' writes it. Pixels are 0 to 255 in the order
    BGR, as in Caffe's data layers. What happens to images is printed first: scores are worth nothing if it is not what
    the net was trained with.

    \b
    Example:
    cafx classify deploy.prototxt photos/ --weights caffenet.caffemodel \\
        --labels synset_words.txt --mean imagenet_mean.binaryproto --size 256x256
    """
    if not weights and not Path(model).is_dir():
        raise click.UsageError("Classifying needs trained weights: --weights FILE.")
    if as_csv and as_json:
        raise click.UsageError("Choose one of --csv and --json.")
    from cafx_lib_feed.images import read_image
    from cafx_lib_inputs import Scorer, find_images, named_model

    paths, oversample = find_images(images), crops == "10" if crops else None
    named = named_model(model, split_commas(weights), preprocessing, size=size_of(size), oversample=oversample)
    chosen = {"engine": engine, "weights": named.weights, "keep": "outputs", "trust": named.trusted}
    with settings.net(named.net, "TEST", **chosen) as net:
        scorer = Scorer(net, named.preprocessing, output, batch)
        tell(scorer.preprocessing, quiet)
        names = scorer.preprocessing.names()
        with contextlib.ExitStack() as stack:
            if jobs:
                arguments = {"net": named.net, "output": output, "batch": batch, **_plain(chosen, named.preprocessing)}
                scores = stack.enter_context(_in_slices(paths, arguments, scorer.batch, jobs))
            else:
                scores = scorer.classify(read_image(path, color=scorer.channels != 1) for path in paths)
            rows = ((path, _best(next(scores), names, top, named.preprocessing.labels)) for path in paths)
            (_print_json if as_json else _print_csv if as_csv else _print_text)(rows)


def _plain(chosen: dict[str, Any], preprocessing: Preprocessing) -> dict[str, Any]:
    """What a net is built with, and the preprocessing, as plain values."""
    import attrs

    fields = [field.name for field in attrs.fields(type(preprocessing))]
    return {
        "chosen": {**chosen, "engine": attrs.asdict(chosen["engine"])},
        "preprocessing": {name: getattr(preprocessing, name) for name in fields},
    }


@contextlib.contextmanager
def _in_slices(paths: list[str], arguments: dict[str, Any], batch: int, jobs: JobChoice) -> Iterator[Iterator[Any]]:
    """The scores of each image, from workers with a net each; a slice is a multiple of the batch."""
    from cafx_lib_jobs.job import Job
    from cafx_lib_jobs.manifest import Manifest
    from cafx_lib_jobs.records import read_arrays

    job = Job(
        function=classify_slice,
        arguments=arguments,
        records=paths,
        manifest=Manifest.of(len(paths), batch, most=MOST_IMAGES),
        label="classifying",
    )
    with job.outcomes(jobs) as outcomes:
        yield (scores for outcome in outcomes for scores in read_arrays(outcome.out))


def classify_slice(paths: Sequence[str], out: Path, hold: Hold, **how: Any) -> Report:
    """Write the scores of each image.

    Args:
        paths: the images.
        out: the path to write to.
        hold: keeps the net.
        how: what `_plain` returns, ``net``, ``output`` and ``batch``.
    """
    from cafx_lib_feed.images import read_image
    from cafx_lib_jobs.records import write_arrays
    from cafx_lib_jobs.task import Report

    scorer = hold.get(_scorer, how, hold.cores)
    return Report(write_arrays(out, scorer.classify(read_image(path, color=scorer.channels != 1) for path in paths)))


def _scorer(how: dict[str, Any], cores: int | None) -> Scorer:
    from cafx_lib_inputs import Scorer
    from cafx_lib_preprocessing import Preprocessing

    chosen = how["chosen"]
    engine = EngineChoice(**{**chosen["engine"], "threads": chosen["engine"]["threads"] or cores})
    net = Settings().net(how["net"], "TEST", **{**chosen, "engine": engine})
    return Scorer(net, Preprocessing(**how["preprocessing"]), how["output"], how["batch"])


def _best(scores: Any, names: list[str] | None, top: int, source: Any) -> Classes:
    from cafx.kernel import CafxError

    if names and len(names) != len(scores):
        raise CafxError(
            "wrong number of labels",
            where=source if isinstance(source, str) else None,
            found=len(names),
            expected=f"{len(scores)}, one per class",
        )
    order = sorted(range(len(scores)), key=lambda number: (-scores[number], number))[:top]
    return [(number, names[number] if names else str(number), float(scores[number])) for number in order]


def _print_text(rows: Iterator[tuple[str, Classes]]) -> None:
    for path, classes in rows:
        click.echo(path)
        for _, name, score in classes:
            click.echo(f"  {score:.4f}  {name}")


def _print_csv(rows: Iterator[tuple[str, Classes]]) -> None:
    click.echo("file,rank,class,label,score")
    for path, classes in rows:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows((path, rank, *found) for rank, found in enumerate(classes, start=1))
        click.echo(text.getvalue(), nl=False)


def _print_json(rows: Iterator[tuple[str, Classes]]) -> None:
    fields = ("class", "label", "score")
    found = [{"file": path, "top": [dict(zip(fields, each, strict=True)) for each in best]} for path, best in rows]
    click.echo(json.dumps(found))


def cases() -> Iterable[CommandCase]:
    """A folder as text, as a table and as JSON."""
    from cafx.conformance.kinds.command import CommandCase
    from cafx.conformance.kinds.files import write_images, write_net

    def prepare(folder: Path) -> None:
        write_net(folder)
        write_images(folder)

    run = ["net.prototxt", "images", "--weights", "net.caffemodel", "--engine", "numpy"]
    yield CommandCase("text", run, prepare)
    yield CommandCase("csv", [*run, "--csv", "--top", "1"], prepare)
    yield CommandCase("json", [*run, "--json"], prepare)
