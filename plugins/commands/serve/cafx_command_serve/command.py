"""The command ``cafx serve``."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.lazy import Settings
from cafx.cli.options import EngineChoice, engine_options, quiet_option, split_commas, trust_option, weights_option
from cafx_lib_inputs.options import preprocessing_options, size_of, tell

if TYPE_CHECKING:
    from cafx_command_serve.hedging import Tree
    from cafx_command_serve.model import Model
    from cafx_lib_preprocessing import Preprocessing

EXTRA = "cafx[serve]"
MEBIBYTE = 1 << 20
LOCAL = ("127.0.0.1", "localhost")


@click.command()
@click.argument("model", type=click.Path())
@weights_option
@preprocessing_options("antialias")
@click.option("--size", metavar="HxW", help="Resize images to this before cropping (default: the net's input).")
@click.option("--output", metavar="BLOB", help="Blob with the scores or boxes (default: the last output).")
@click.option("--top", type=click.IntRange(1, 100), default=5, show_default=True, metavar="N", help="Answers shown.")
@click.option("--tree", metavar="FILE", help="Is-a tree of the classes, for hedged answers; 'cifar10' is built in.")
@click.option(
    "--target-accuracy",
    type=click.FloatRange(0, 1, max_open=True),
    metavar="F",
    help="Hedge just so much that this share of --validation is right.",
)
@click.option(
    "--validation",
    type=click.Path(dir_okay=False),
    metavar="LIST",
    help="Images and their classes, one 'PATH NUMBER' per line.",
)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on; 0.0.0.0 for all.")
@click.option("--allowed-host", multiple=True, metavar="NAME", help="Further name of the server, as a proxy's.")
@click.option("--port", type=click.IntRange(0, 65535), default=5000, show_default=True, help="Port; 0 for a free one.")
@click.option(
    "--max-batch",
    type=click.IntRange(1, 256),
    metavar="N",
    help="Images of concurrent requests per pass (default: the fastest of 1, 2, 4, 8 and 16).",
)
@click.option(
    "--batch-delay",
    type=click.FloatRange(0, 1000),
    metavar="MS",
    help="Milliseconds to wait for other requests' images that are being decoded (default: the time of a pass).",
)
@click.option(
    "--queue",
    type=click.IntRange(1, 10_000),
    default=64,
    show_default=True,
    metavar="N",
    help="Requests in work; more are refused (503).",
)
@click.option(
    "--max-mib", type=click.IntRange(1, 1024), default=16, show_default=True, metavar="N", help="MiB of a request."
)
@click.option(
    "--max-pixels",
    type=click.IntRange(1),
    default=50_000_000,
    show_default=True,
    metavar="N",
    help="Pixels of an image, by its header.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(0.1, 3600),
    default=20.0,
    show_default=True,
    metavar="S",
    help="Seconds for a request to arrive.",
)
@click.option("--allow-urls", is_flag=True, help="Fetch images by URL, from public web servers.")
@engine_options
@trust_option
@quiet_option
@click.pass_obj
def serve(
    settings: Settings,
    model: str,
    weights: tuple[str, ...],
    preprocessing: Callable[..., Preprocessing],
    size: str | None,
    output: str | None,
    tree: str | None,
    target_accuracy: float | None,
    validation: str | None,
    host: str,
    port: int,
    max_batch: int | None,
    engine: EngineChoice,
    trust: bool,
    quiet: bool,
    **limits: Any,
) -> None:
    """Serve a net as a web page and a JSON interface: POST an image to /classify, or to /detect.

    MODEL is a deploy prototxt, or a model's folder as 'cafx models get' writes it. The interface is described at
    /openapi.json; /health and /metrics are for machines that watch it. Whoever reaches the port may use it: put it
    behind a proxy that knows who may.

    \b
    Example:
    cafx serve deploy.prototxt --weights squeezenet.caffemodel \\
        --labels synset_words.txt --mean 104,117,123
    curl --data-binary @cat.jpg -H 'Content-Type: image/jpeg' http://127.0.0.1:5000/classify
    """
    if not weights and not Path(model).is_dir():
        raise click.UsageError("Serving needs trained weights: --weights FILE.")
    if (target_accuracy is None) != (validation is None) or (validation and not tree):
        raise click.UsageError("--target-accuracy, --validation and --tree belong together.")
    _check_installed()
    from cafx_command_serve import server
    from cafx_command_serve.app import Service, application
    from cafx_command_serve.model import Model
    from cafx_lib_inputs import named_model

    named = named_model(model, split_commas(weights), preprocessing, size=size_of(size))
    chosen = {"engine": engine, "weights": named.weights, "keep": "outputs", "trust": trust}
    with server.listen(host, port) as listening:
        served = Model(lambda: settings.net(named.net, "TEST", **chosen), named.preprocessing, output, max_batch)
        tell(served.preprocessing, quiet)
        _tell_rates(served, quiet)
        known = _tree(served, tree) if tree else None
        trade = _trade(served, known, validation, target_accuracy, quiet) if known and validation else 0.0
        service = Service(served, _limits(**limits), known, trade, **_settings(host, **limits))
        place, shown = listening.getsockname()[1], f"[{host}]" if ":" in host else host
        try:
            server.make(application(service), lambda: click.echo(f"http://{shown}:{place}/")).run([listening])
        except KeyboardInterrupt:
            pass
        finally:
            served.close()
    if not quiet:
        count = sum(service.metrics.requests.values())
        click.echo(f"stopped after {count} request{'s' * (count != 1)}", err=True)


def _tell_rates(model: Model, quiet: bool) -> None:
    if model.rates and not quiet:
        rates = ", ".join(f"{size}: {rate:.0f}" for size, rate in model.rates.items())
        click.echo(f"batches: at most {max(model.nets)} images (images/s by size: {rates})", err=True)


def _check_installed() -> None:
    from cafx.kernel import CafxError, registry

    try:
        import python_multipart  # noqa: F401 - what forms are read with
        import starlette  # noqa: F401
        import uvicorn  # noqa: F401
    except ImportError as error:
        raise CafxError(f"serving needs {error.name}", remedy=registry().install_line(EXTRA)) from None


def _limits(*, max_mib: int, max_pixels: int, timeout: float, queue: int, **_: Any) -> Any:
    from cafx_command_serve.limits import Limits

    os.environ.setdefault("CAFX_MAX_BYTES", str(3 * max_pixels))  # a second guard, in the decoder
    return Limits(max_mib * MEBIBYTE, max_pixels, timeout, queue)


def _settings(
    host: str,
    *,
    allow_urls: bool,
    allowed_host: tuple[str, ...],
    batch_delay: float | None,
    max_mib: int,
    top: int,
    **_: Any,
) -> dict[str, Any]:
    """The rest of a `Service`. On a local address, other names of the host are refused: pages might rebind theirs."""
    from cafx_command_serve.fetching import Fetcher

    fetcher = Fetcher(max_mib * MEBIBYTE) if allow_urls else None
    hosts = (*LOCAL, *allowed_host) if host in LOCAL else allowed_host or None
    delay = None if batch_delay is None else batch_delay / 1000
    return {"fetcher": fetcher, "delay": delay, "top": top, "hosts": hosts}


def _tree(model: Model, source: str) -> Tree:
    from cafx.kernel import CafxError
    from cafx_command_serve.hedging import read_tree

    if not model.labels:
        raise CafxError("an is-a tree needs the names of the classes", where=source, remedy="--labels FILE")
    return read_tree(source, model.labels)


def _trade(model: Model, tree: Tree, validation: str, target: float | None, quiet: bool) -> float:
    """λ for the target accuracy."""
    from cafx_command_serve.validation import scores_of

    likely, truth = scores_of(model, validation)
    trade = tree.trade_for(likely, truth, target or 0.0)
    accuracy, bits = tree.accuracy(likely, truth, trade)
    if not quiet:
        most = float(tree.gains.max())
        text = f"hedging: λ = {trade:.4g}; {accuracy:.1%} of {len(truth)} answers right, {bits:.2f} of {most:.2f} bits"
        click.echo(text, err=True)
    return trade
