"""``cafx plot embedding``: features in the plane, by t-SNE or PCA, coloured by class."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import click
import numpy as np
import numpy.typing as npt

from cafx.cli.options import json_option, quiet_option
from cafx.cli.streams import printable
from cafx.kernel import CafxError, registry
from cafx_lib_pictures import matplotlib, save_figure

if TYPE_CHECKING:
    from cafx_command_plot.labelled import Labels

Points = npt.NDArray[Any]
EXTRA = "cafx[embedding]"
TSNE, PCA = "tsne", "pca"
COMPONENTS = 50
"""Principal components that t-SNE starts from."""
NEIGHBOURS = 5
"""Neighbours that trustworthiness is computed from."""
FEWEST = 2 * NEIGHBOURS + 2
PERPLEXITY = 30.0
LIMIT = 5000
DPI, SIDE = 120, 6.0
SMALLEST, LARGEST, INK = 6.0, 40.0, 6000.0
"""Area of a point, and of all points together."""
MOST_NAMED = 20
"""Classes from which on there is no legend."""


class Embedded(NamedTuple):
    """Rows in the plane.

    Attributes:
        points: N×2.
        trustworthiness: the share of neighbours in the plane that are neighbours among the rows too, weighted by how
            far they are from it; 1 is best, 0.5 is chance.
    """

    points: Points
    trustworthiness: float


def embed(rows: Points, method: str = TSNE, perplexity: float | None = None, seed: int = 0) -> Embedded:
    """Map rows to points of the plane; near rows become near points.

    The result does not depend on the number of cores: all of it runs on one.

    Args:
        rows: N×D finite numbers.
        method: ``"tsne"``, from the first 50 principal components, or ``"pca"``.
        perplexity: number of neighbours that t-SNE weighs (default: 30, or less for few rows).
        seed: seed of t-SNE.

    Raises:
        CafxError: scikit-learn is not installed; there are too few rows, or all are equal.

    Source: van der Maaten and Hinton, "Visualizing data using t-SNE", 2008; for trustworthiness, Venna and Kaski,
    "Neighborhood preservation in nonlinear projection methods", 2001.

    Example:
        >>> rows = np.random.default_rng(0).standard_normal((40, 4)) * [9, 5, 0.1, 0.1]
        >>> embedded = embed(rows, "pca")
        >>> embedded.points.shape, embedded.trustworthiness > 0.99
        ((40, 2), True)
    """
    decomposition, manifold, limited = _tools()
    count, width = rows.shape
    perplexity = min(PERPLEXITY, (count - 1) / 3) if perplexity is None else perplexity
    _check(rows, method, perplexity)
    centred = rows - rows.mean(axis=0)
    scaled = centred / np.abs(centred).max()
    with limited(1):
        components = COMPONENTS if method == TSNE else 2
        points = decomposition.PCA(min(components, count, width), random_state=seed).fit_transform(scaled)
        if method == TSNE:
            tsne = manifold.TSNE(2, perplexity=perplexity, init="pca", random_state=seed)
            points = tsne.fit_transform(points.astype(np.float32))
        trust = manifold.trustworthiness(scaled, points, n_neighbors=NEIGHBOURS)
    return Embedded(points, float(trust))


def scatter(axes: Any, points: Points, labels: Labels | None = None) -> None:
    """Draw points, with a colour and an entry of the legend per class.

    Args:
        axes: axes of a matplotlib figure.
        points: N×2.
        labels: the class of each point.
    """
    axes.set_xticks([])
    axes.set_yticks([])
    size = min(LARGEST, max(SMALLEST, INK / len(points)))
    if labels is None:
        axes.scatter(*points.T, s=size, linewidths=0)
        return
    count = len(labels.names)
    colours = _colours(count)
    order = np.random.default_rng(0).permutation(len(points))  # no class covers another
    axes.scatter(*points[order].T, s=size, linewidths=0, c=[colours[number] for number in labels.numbers[order]])
    if count <= MOST_NAMED:
        markers = [axes.scatter([], [], color=colours[number], s=25) for number in range(count)]
        place = {"loc": "center left", "bbox_to_anchor": (1, 0.5), "frameon": False, "fontsize": "small"}
        legend = axes.legend(markers, [str(number) for number in range(count)], **place)
        for text, name in zip(legend.get_texts(), labels.names, strict=True):
            text.set_text(printable(name))
            text.set_parse_math(False)


@click.command()
@click.argument("features", metavar="FEATURES.h5[:DATASET]")
@click.option("--labels", "-l", metavar="FILE[:DATASET]", help="Class of each row: a text file, or an HDF5 dataset.")
@click.option("--classes", metavar="FILE", help="Names of the classes 0, 1, …: a text file with one per line.")
@click.option("--method", type=click.Choice([TSNE, PCA]), default=TSNE, show_default=True, help="How to embed.")
@click.option(
    "--perplexity", type=click.FloatRange(1), metavar="P", help="Neighbours that t-SNE weighs (default: 30, or less)."
)
@click.option(
    "--seed",
    type=click.IntRange(0, 2**32 - 1),
    default=0,
    show_default=True,
    metavar="N",
    help="Seed of t-SNE and of the sample.",
)
@click.option(
    "--limit",
    type=click.IntRange(FEWEST),
    default=LIMIT,
    show_default=True,
    metavar="N",
    help="Use a random sample of N rows if there are more.",
)
@click.option("--out", "-o", metavar="FILE", default="embedding.png", show_default=True, help="A .png, .svg or .pdf.")
@json_option
@quiet_option
def embedding(
    features: str,
    labels: str | None,
    classes: str | None,
    method: str,
    perplexity: float | None,
    seed: int,
    limit: int,
    out: str,
    as_json: bool,
    quiet: bool,
) -> None:
    """Draw the rows of an HDF5 dataset in the plane, near each other where they are alike.

    A row is one example, as 'cafx extract-features … hdf5' writes them. Name the dataset if the file has several that
    fit. A text file of labels has one per line, a number or a word, or is a list of images as ImageData reads it.
    Trustworthiness is 1 if all neighbours in the picture are neighbours among the features, too.

    \b
    Examples:
    cafx plot embedding features.h5 --labels labels.txt --out features.svg
    cafx plot embedding all.h5:fc7 --labels all.h5:label --method pca
    """
    from cafx_command_plot.labelled import read_features, read_labels

    if method == PCA and perplexity is not None:
        raise click.UsageError(f"--perplexity is for --method {TSNE}")
    if classes and not labels:
        raise click.UsageError("--classes needs --labels")
    _tools()
    rows, chosen, total = read_features(features, limit, seed)
    given = read_labels(labels, total, classes).at(chosen) if labels else None
    for text in _notices(len(rows), total, given) if not quiet else ():
        click.echo(text, err=True)
    embedded = embed(rows, method, perplexity, seed)
    figure = matplotlib("figure").Figure(figsize=(SIDE * 1.2, SIDE), layout="constrained")
    scatter(figure.subplots(), embedded.points, given)
    save_figure(figure, out, DPI)
    trust = round(embedded.trustworthiness, 4)
    facts = {"out": out, "rows": len(rows), "values": rows.shape[1], "method": method, "trustworthiness": trust}
    click.echo(json.dumps(facts) if as_json else _summary(facts))


def _summary(facts: dict[str, Any]) -> str:
    rows = f"{facts['rows']} rows of {facts['values']} values"
    return f"{facts['out']}: {rows} by {facts['method']}, trustworthiness {facts['trustworthiness']:.3f}"


def _notices(count: int, total: int, labels: Labels | None) -> list[str]:
    sample = [f"note: a random sample of {count} of {total} rows; --limit changes it"] if count < total else []
    classes = len(labels.names) if labels else 0
    return sample + ([f"note: no legend, since there are {classes} classes"] if classes > MOST_NAMED else [])


def _colours(count: int) -> Sequence[Any]:
    from matplotlib import colormaps

    if count <= MOST_NAMED:
        return [colormaps["tab10" if count <= MOST_NAMED // 2 else "tab20"](number) for number in range(count)]
    colours: Points = colormaps["turbo"](np.linspace(0, 1, count))
    return list(colours)


def _check(rows: Points, method: str, perplexity: float) -> None:
    count = len(rows)
    if count < FEWEST:
        raise CafxError("too few rows to embed", found=str(count), expected=f"at least {FEWEST}")
    if method == TSNE and perplexity >= count:
        raise CafxError("perplexity is too large", found=f"{perplexity:g}", expected=f"less than {count}, the rows")
    if (rows == rows[0]).all():
        raise CafxError("all rows are equal", remedy="choose another dataset")


def _tools() -> Any:
    """What is used of scikit-learn, and what limits its threads."""
    try:
        from sklearn import decomposition, manifold
        from threadpoolctl import threadpool_limits
    except ImportError as error:
        message = f"embeddings need the extra {EXTRA} ({error})"
        raise CafxError(message, remedy=f"install it with: {registry().install_line(EXTRA)}") from None
    return decomposition, manifold, threadpool_limits
