"""``cafx models publish`` and ``convert``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import json_option, quiet_option, trust_option
from cafx_command_models.places import size_text

if TYPE_CHECKING:
    from cafx.cli.lazy import Settings

FILE = click.Path(dir_okay=False)


def _metrics(_: click.Context, __: click.Parameter, values: tuple[str, ...]) -> dict[str, float]:
    """The pairs NAME=VALUE."""
    import math

    metrics = {}
    for each in values:
        name, equals, value = each.partition("=")
        try:
            metrics[name.strip()] = float(value)
        except ValueError:
            equals = ""
        if not name.strip() or not equals or not math.isfinite(metrics[name.strip()]):
            raise click.BadParameter(f"{each!r} is not NAME=NUMBER; try accuracy=0.571", param_hint="--metric")
    return metrics


@click.command()
@click.argument("net", metavar="NET")
@click.argument("out", metavar="DIR", type=click.Path())
@click.option("--weights", "-w", metavar="FILE", type=FILE, help="Trained weights, in any format.")
@click.option("--train-net", metavar="FILE", type=FILE, help="Prototxt for training, published along.")
@click.option("--solver", metavar="FILE", type=FILE, help="Solver, published along.")
@click.option("--labels", metavar="FILE", type=FILE, help="Names of the classes, one per line.")
@click.option("--preprocessing", metavar="FILE", help="How images become its input: a .json, prototxt or folder.")
@click.option("--name", help="Its name (default: the net's).")
@click.option("--license", "license_", default="unknown", show_default=True, metavar="ID", help="Such as bsd-2-clause.")
@click.option("--task", default="", metavar="TASK", help="Task in the Hub's words, such as image-classification.")
@click.option("--tag", "tags", multiple=True, metavar="WORD", help="Word to find it by (repeatable).")
@click.option("--metric", "metrics", multiple=True, metavar="NAME=VALUE", callback=_metrics, help="Measured value.")
@click.option("--mirror", "mirrors", multiple=True, metavar="URL", help="Further address of the folder (repeatable).")
@click.option("--text", metavar="FILE", type=FILE, help="Text of the card, in Markdown.")
@click.option("--hub", is_flag=True, help="Call the card README.md, as the Hugging Face Hub wants it.")
@trust_option
@quiet_option
@json_option
@click.pass_obj
def publish(settings: Settings, /, net: str, out: str, **options: Any) -> None:
    """Write the model NET to the folder DIR, with a card that states the digest of each file.

    NET is a prototxt for inference (deploy.prototxt), a net.py, or a reference model's name. Upload the folder to a
    web server, a Gist or the Hub, and others can get it from there.

    \b
    Example:
    cafx models publish deploy.prototxt lenet/ -w lenet.caffemodel --license bsd-2-clause
    """
    from cafx_command_models.collecting import collect
    from cafx_lib_zoo import digest
    from cafx_lib_zoo import publish as write

    card, files, notices = collect(settings, net, out, options)
    model = write(Path(out), card, files, hub=options["hub"])
    for notice in notices:
        click.echo(notice, err=True)
    readme = next(each for each in model.path.iterdir() if each.name.lower() == "readme.md")
    summary = {"folder": str(model.path), "files": sorted(files), "bytes": model.card.size, "sha256": digest(readme)}
    if options["as_json"]:
        click.echo(json.dumps(summary))
    elif not options["quiet"]:
        click.echo(f"{model.path}: {len(files)} files ({size_text(model.card.size)}) and {readme.name}")
        click.echo(f"sha256 of {readme.name}: {summary['sha256']}")


@click.command()
@click.argument("source", metavar="IN", type=FILE)
@click.argument("target", metavar="OUT", type=FILE)
@click.option("--net", metavar="NET", type=FILE, help="Net of the weights, for what their file does not state.")
@trust_option
@quiet_option
@json_option
@click.pass_obj
def convert(
    settings: Settings, source: str, target: str, net: str | None, trust: bool, quiet: bool, as_json: bool
) -> None:
    """Convert weights from IN to OUT, whose suffix names the format: .caffemodel, .h5 or .safetensors.

    Values stay the same, bit for bit. NET is needed for what the file leaves open: shared parameters in HDF5, and the
    shapes in files of Caffe's first versions.

    \b
    Example:
    cafx models convert lenet.caffemodel lenet.safetensors
    """
    from cafx_lib_zoo import convert as convert_file

    built = settings.net(net, "TEST", trust=trust) if net else None
    try:
        done = convert_file(source, target, built)
    finally:
        if built is not None:
            built.close()
    if done.left_out:
        names = ", ".join(done.left_out[:5]) + (" …" if len(done.left_out) > 5 else "")
        click.echo(f"{len(done.left_out)} layers are not in {net} and were left out: {names}", err=True)
    numbers = {"layers": done.layers, "blobs": done.blobs, "values": done.values, "shared": done.shared}
    if as_json:
        click.echo(json.dumps({"target": target, **numbers, "left_out": done.left_out}))
    elif not quiet:
        shared = f", {done.shared} shared" if done.shared else ""
        click.echo(f"{target}: {done.blobs} blobs of {done.layers} layers, {done.values:,} values{shared}")
