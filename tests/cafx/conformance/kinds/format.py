"""The checklist of file formats of weights and solver states.

>>> from cafx.conformance import plugin_suite
>>> TestHDF5 = plugin_suite("format", "HDF5")
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.space import folder
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check
from cafx.kernel import CafxError, Format, Net, schema
from cafx.kernel.net import ABSENT, DEFAULT_FORMAT, BlobValues, LayerWeights, TrainingState, format_named, format_of

KIND = "format"
NAMES = ("a", "a/b", "a/b/c", "0", "x.y", "with space", "über", "日本", "Ω-1_~'\"")
SHAPES = ((2, 3), (), (1,), (0,), (3, 0, 2), (2, 1, 3, 1))
BITS = (0, 0x80000000, 1, 0x7F800000, 0xFF800000, 0x7FC12345, 0x7F7FFFFF, 0x3DCCCCCD)
"""Zeros of both signs, a denormal, infinities, a NaN, the largest number, 0.1."""
SHARED = "layer_of_shared_"
EXACT = {"losses": [0.25], "nets": []}
NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }
layer { name: "one" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "two" type: "InnerProduct" bottom: "y" top: "z" param { name: "w" } param { name: "c" }
  inner_product_param { num_output: 2 weight_filler { type: "xavier" } bias_filler { type: "uniform" } } }
layer { name: "none" type: "InnerProduct" bottom: "z" top: "n" inner_product_param { num_output: 3 bias_term: false
  weight_filler { type: "xavier" } } }
"""
FOREIGN = {
    "an empty file": b"",
    "a text": b"iteration,loss\n0,2.3\n" * 20,
    "a web page": b"<!DOCTYPE html><html>404</html>",
    "zeros": bytes(600),
    "an archive": b"PK\x03\x04" + bytes(600),
    "a pickle": b"\x80\x04\x95\x10\x00\x00\x00\x00\x00\x00\x00}\x94.",
    "an LFS pointer": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 1\n",
}


@attrs.frozen
class FormatCase:
    """What a format holds.

    Args:
        name: a short name, unique among the format's cases.
        states: whether it holds solver states besides weights.
        gradients: whether it holds the gradients of parameters.
        doubles: whether it holds values in float64.
        positions: at how many bytes, spread over a file, it is cut off and changed; all of a smaller file.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    states: bool = True
    gradients: bool = True
    doubles: bool = True
    positions: int = 400
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Format)


def with_states(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to formats of solver states."""
    return "the format holds weights only" if isinstance(case, FormatCase) and not case.states else None


def weights_only(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to formats of weights alone."""
    return None if with_states(subject, case) else "the format holds solver states"


def recognisable(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to formats that are recognised by their first bytes."""
    return "the default format is that of all other files" if subject.type == DEFAULT_FORMAT else None


def made(subject: Subject) -> Format:
    """The format."""
    instance: Format = subject.thing(subject.plugins)
    return instance


def blob(shape: tuple[int, ...], case: FormatCase, number: int) -> BlobValues:
    """Values of which every bit counts."""
    count = math.prod(shape)
    data: npt.NDArray[Any] = np.roll(np.array(BITS, np.uint32), number).view(np.float32)[np.arange(count) % len(BITS)]
    if case.doubles and number % 3 == 2:
        data = data.astype(np.float64) / 3
    return BlobValues(shape, data, data[::-1].copy() if case.gradients else None)


def contents(subject: Subject, case: FormatCase, names: Sequence[str] = NAMES) -> tuple[Any, list[LayerWeights]]:
    """A net of many names, with layers that have no parameters, empty ones or shared ones, and their values."""
    net, layers = schema(subject.plugins)["NetParameter"](name="net"), []
    for number, name in enumerate(names):
        shapes = SHAPES[: number % (len(SHAPES) + 1)]
        layers.append(LayerWeights(name, [blob(shape, case, number + i) for i, shape in enumerate(shapes)], "Other"))
        net.layer.add(name=name, type="Other")
    shared = blob((2, 2), case, 0)
    for number in range(2):
        net.layer.add(name=f"{SHARED}{number}", type="Other").param.add(name="w")
        layers.append(LayerWeights(f"{SHARED}{number}", [shared, *([blob((3,), case, 1)] * number)], "Other"))
    return net, layers


def state() -> TrainingState:
    """A solver's state."""
    case = FormatCase("state", gradients=False, doubles=False)
    history = [blob(shape, case, number) for number, shape in enumerate(((2, 3), (4,), (0,)))]
    return TrainingState(37, "über/a b.caffemodel", history, 2, EXACT)


def same(one: npt.NDArray[Any] | None, two: npt.NDArray[Any] | None) -> bool:
    """Whether two arrays have the same type and bits."""
    if one is None or two is None:
        return one is two
    return one.dtype.newbyteorder("=") == two.dtype.newbyteorder("=") and np.asarray(one).tobytes() == two.tobytes()


def difference(found: BlobValues, expected: BlobValues) -> str | None:
    """What differs between two blobs."""
    if found.shape != expected.shape:
        return f"has shape {found.shape}, not {expected.shape}"
    if not same(found.data, expected.data):
        return "has other values"
    return None if same(found.diff, expected.diff) else "has another gradient"


def compare(found: Iterable[LayerWeights], expected: Sequence[LayerWeights], *, complete: bool) -> str | None:
    """What differs between layers read and written; those that are missing only if all must be there."""
    by_name = {layer.name: layer for layer in found}
    for layer in expected:
        mine = by_name.get(layer.name)
        if mine is None or (not complete and not mine.blobs):
            if complete and layer.blobs:
                return f"layer '{layer.name}' is missing"
            continue
        is_second = layer.name == f"{SHARED}1"
        if len(mine.blobs) != len(layer.blobs) and (complete or len(mine.blobs) > len(layer.blobs)):
            return f"layer '{layer.name}' has {len(mine.blobs)} parameters, not {len(layer.blobs)}"
        for index, (one, two) in enumerate(zip(mine.blobs, layer.blobs, strict=False)):
            absent = is_second and index == 0 and one.shape == ABSENT
            problem = None if absent else difference(one, two)
            if problem:
                return f"parameter {index} of layer '{layer.name}' {problem}"
    return None


@check("round-trip", "weights survive writing and reading, bit for bit, under any name", kind=KIND)
def round_trip(subject: Subject, case: FormatCase) -> None:
    net, layers = contents(subject, case)
    with folder() as place:
        made(subject).write_weights(place / "w", net, layers)
        problem = compare(format_of(place / "w", subject.plugins).read_weights(place / "w"), layers, complete=True)
    if problem:
        raise CheckFailure(f"after writing and reading, {problem}")


@check("nets", "a net with shared parameters gets all its values back, and they stay shared", kind=KIND)
def nets(subject: Subject, case: FormatCase) -> None:
    proto = schema(subject.plugins).parse_text(NET, "NetParameter")
    one, two = (Net(proto, engine="numpy", seed=seed, plugins=subject.plugins) for seed in (1, 2))
    with folder() as place, one, two:
        made(subject).write_weights(place / "w", one.to_proto(), one.weights())
        two.copy_from(place / "w")
        for name, blobs in one.params.items():
            for index, (mine, other) in enumerate(zip(blobs, two.params[name], strict=True)):
                if mine.host().tobytes() != other.host().tobytes():
                    raise CheckFailure(f"parameter {index} of layer '{name}' has other values in the net that read it")
        if two.params["one"][0].synced_data is not two.params["two"][0].synced_data:
            raise CheckFailure("a shared parameter is no longer shared")


@check("suffix", "a net saved under the format's suffix has this format", kind=KIND)
def suffix(subject: Subject, case: FormatCase) -> None:
    proto, own = schema(subject.plugins).parse_text(NET, "NetParameter"), subject.thing.suffix
    if own and not own.startswith("."):
        raise CheckFailure(f"suffix {own!r} does not begin with a full stop")
    others = [each.name for each, kind in subject.plugins.usable("format") if kind is not subject.thing]
    taken = [name for name in others if own and subject.plugins.load("format", name).suffix == own]
    if taken:
        raise CheckFailure(f"suffix {own} is that of format {taken[0]}, too")
    with folder() as place, Net(proto, engine="numpy", seed=1, plugins=subject.plugins) as net:
        net.save(place / f"w{own}")
        if type(format_of(place / f"w{own}", subject.plugins)) is not subject.thing:
            raise CheckFailure(f"a file called w{own} is written in another format, or not recognised as this one")


@check("states", "solver states survive writing and reading, bit for bit", kind=KIND, applies=with_states)
def states(subject: Subject, case: FormatCase) -> None:
    expected = state()
    with folder() as place:
        made(subject).write_state(place / "s", expected)
        found = format_of(place / "s", subject.plugins).read_state(place / "s")
    for name in ("iter", "learned_net", "current_step", "exact"):
        if getattr(found, name) != getattr(expected, name):
            raise CheckFailure(f"{name} is {getattr(found, name)!r}, not {getattr(expected, name)!r}")
    problems = [difference(one, two) for one, two in zip(found.history, expected.history, strict=False)]
    if len(found.history) != len(expected.history) or any(problems):
        raise CheckFailure(f"history: {next(filter(None, problems), 'another number of arrays')}")


@check(
    "no-states", "a format of weights alone refuses solver states with a clear error", kind=KIND, applies=weights_only
)
def no_states(subject: Subject, case: FormatCase) -> None:
    net, layers = contents(subject, case, NAMES[:2])
    with folder() as place:
        made(subject).write_weights(place / "w", net, layers)
        require_refusal(lambda: made(subject).write_state(place / "s", state()), place / "s", "a state is written")
        require_refusal(lambda: made(subject).read_state(place / "w"), place / "w", "weights are read as a state")


def require_refusal(run: Callable[[], Any], path: Path, otherwise: str) -> None:
    """Require a CafxError that names a file."""
    try:
        run()
    except CafxError as error:
        if path.name not in str(error):
            raise CheckFailure(f"the error does not name the file: {error}") from None
    except Exception as error:
        raise CheckFailure(f"{otherwise}: {type(error).__name__}: {error}; raise a CafxError") from error
    else:
        raise CheckFailure(otherwise)


@check("recognises", "it recognises its own files, and no others", kind=KIND, applies=recognisable)
def recognises(subject: Subject, case: FormatCase) -> None:
    net, layers = contents(subject, case, NAMES[:3])
    with folder() as place:
        for plugin in subject.plugins.plugins("format"):
            if subject.plugins.error(plugin) is None:
                path = place / plugin.name
                format_named(plugin.name, subject.plugins).write_weights(path, net, layers)
                if made(subject).recognises(path.read_bytes()[:512]) != (plugin.name == subject.type):
                    raise CheckFailure(f"recognises() is wrong about a file of format {plugin.name}")
    for what, data in FOREIGN.items():
        for head in (data[:512], data[:3]):
            if made(subject).recognises(head):
                raise CheckFailure(f"recognises() takes {what} for its own")
