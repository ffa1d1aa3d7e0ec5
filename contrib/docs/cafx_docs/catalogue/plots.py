"""Pictures in the catalogue: activations and their slopes, rates over iterations, histograms of initial values."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import attrs
import numpy as np

from cafx.kernel import Layer, Net, NeuronLayer, Phase, registry, schema
from cafx.kernel.schema import FillerParameter, declared_by
from cafx_docs.catalogue.uses import MANY, policy_options

if TYPE_CHECKING:
    from matplotlib.axes import Axes

X = np.linspace(-4, 4, 321)
KEPT = np.arange(X.size) % 2 == 0
"""Which values remain where it is tested whether a layer treats each value alike."""
SHAPE = (64, 16, 3, 3)
BINS = 60
SEED = 1
CURVES: Mapping[str, Mapping[str, Any]] = {
    "Clip": {"min": -1.0, "max": 2.0},
    "Log": {"shift": 4.5},
    "Power": {"power": 2.0, "scale": 0.5, "shift": 1.0},
    "ReLU": {"negative_slope": 0.1},
    "Threshold": {"threshold": 1.0},
}
"""Options of activations in their pictures, where the defaults show little."""
COEFFICIENTS: Mapping[str, Mapping[str, Any]] = {
    "constant": {"value": 0.1},
    "gaussian": {"std": 0.01},
    "uniform": {"min": -0.05, "max": 0.05},
}
"""Options of fillers in their pictures, likewise."""


@attrs.frozen
class Picture:
    """A drawn plot.

    Attributes:
        svg: the drawing.
        alt: what it shows, in words.
    """

    svg: bytes
    alt: str


def activation(name: str, layer: type[Layer]) -> Picture | None:
    """y and dy/dx over x of a layer that treats each value alike; None for other layers."""
    proto = schema()["LayerParameter"](name=name, type=name, bottom=["x"], top=["y"])
    if not issubclass(layer, NeuronLayer) or not layer.deterministic or layer.keeps_state:
        return None
    options = CURVES.get(name, {})
    for declared in declared_by(layer) if options else []:
        own = {name: value for name, value in options.items() if name in declared.__options__}
        if own and declared.__extends__:
            declared(**own).fill(getattr(proto, declared.__extends__.field))
    y, slope = _curves(proto, not layer.forward_only)
    if y is None:
        return None
    stated = "".join(f", {key} = {value:g}" for key, value in options.items())
    with _axes("x") as (axes, picture):
        axes.plot(X, y, label="y")
        if slope is not None:
            axes.plot(X, slope, "--", label="dy/dx")
        axes.legend()
        axes.set_title(f"{name}{stated}")
    return Picture(picture.getvalue(), f"y{'' if slope is None else ' and dy/dx'} of {name} for x from -4 to 4{stated}")


def _curves(proto: Any, backward: bool) -> tuple[Any, Any]:
    """y and its derivative over X; None and None if y has parameters or depends on more than its own x."""
    net = schema()["NetParameter"](force_backward=backward)
    net.layer.add(name="x", type="Input", top=["x"]).input_param.shape.add().dim.extend([1, 1, X.size])
    net.layer.add().CopyFrom(proto)
    with np.errstate(all="ignore"), Net(net, Phase.TEST, engine="numpy", dtype="float64", seed=SEED) as built:
        if built.params:
            return None, None
        y = built.forward(x=X[None, None])["y"].copy()
        among_others = built.forward(x=np.where(KEPT, X, X[0])[None, None])["y"]
        if not np.allclose(among_others[0, 0, KEPT], y[0, 0, KEPT], equal_nan=True):
            return None, None
        built.forward(x=X[None, None])
        slope = built.backward(y=np.ones((1, 1, X.size)))["x"] if backward else None
    return y[0, 0], None if slope is None else slope[0, 0]


def rates(name: str) -> Picture | None:
    """The learning rate of a policy over the iterations; None if it depends on the loss."""
    policy_class, options = registry().load("policy", name), policy_options(name)
    if policy_class.watches_loss or options is None:
        return None
    policy = policy_class(schema()["SolverParameter"](**{"max_iter": MANY, **options}))
    iterations = np.arange(0, MANY + 1, MANY // 500)
    with _axes("iteration") as (axes, picture):
        axes.plot(iterations, [policy.rate(int(iteration)) for iteration in iterations])
        axes.set_ylabel("learning rate")
        axes.set_ylim(bottom=0)
        axes.set_title(name)
    return Picture(picture.getvalue(), f"learning rate of the policy {name} over {MANY} iterations")


def initial_values(name: str) -> Picture:
    """The distribution of a filler's values, or the values themselves if they are a fixed image."""
    filler = registry().load("filler", name)(FillerParameter(type=name, **COEFFICIENTS.get(name, {})))
    values, again = (filler.fill(SHAPE, np.random.default_rng(seed)) for seed in (SEED, SEED + 1))
    fixed = bool(np.array_equal(values, again)) and np.ptp(values) > 0
    with _axes("value") as (axes, picture):
        axes.set_title(name)
        if fixed:
            size = (1, 1, 8, 8)
            axes.grid(visible=False)
            axes.imshow(filler.fill(size, np.random.default_rng(SEED))[0, 0], cmap="gray")
            axes.set_xlabel("a kernel of 8×8 values, white is the largest")
        else:
            axes.hist(values.ravel(), bins=BINS)
            axes.set_ylabel(f"how many of {values.size}")
    alt = f"a kernel of 8×8 values by the filler {name}" if fixed else f"histogram of the values of the filler {name}"
    return Picture(picture.getvalue(), alt)


@contextmanager
def _axes(label: str) -> Iterator[tuple[Axes, io.BytesIO]]:
    """Axes to draw on; what is drawn is written to the buffer as SVG, the same bytes each time."""
    import matplotlib as mpl
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    picture = io.BytesIO()
    with mpl.rc_context({"svg.hashsalt": "cafx", "svg.fonttype": "none", "font.family": "sans-serif"}):
        figure = Figure(figsize=(5.6, 3.2), layout="constrained")
        canvas = FigureCanvasSVG(figure)
        axes = figure.add_subplot()
        axes.set_xlabel(label)
        axes.grid(alpha=0.3)
        yield axes, picture
        canvas.print_svg(picture, metadata={"Date": None})
