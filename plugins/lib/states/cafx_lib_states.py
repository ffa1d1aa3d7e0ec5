"""Solver states from outside: every value is checked before anything of a solver changes.

What a layer keeps (`Layer.state`) is known to the layer only, which checks it when it is restored; here it is required
to be a dict.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from cafx.kernel.net import TrainingState

MOST_ITERATIONS = 2**31
MOST_TEXT = 4096
"""Bytes of a path, at most."""
PCG64 = {"bit_generator": "PCG64", "state": {"state": 2**128, "inc": 2**128}, "has_uint32": 2, "uinteger": 2**32}
"""The state of a generator: a text as it must be, and below what each number is."""


class Malformed(ValueError):
    """A state that cannot be restored; says why."""


def parse(data: bytes) -> Any:
    """The further state of an exact resume, from JSON.

    Raises:
        Malformed: it is no JSON.

    Example:
        >>> parse(b"[1]")
        [1]
    """
    try:
        return json.loads(data)
    except (ValueError, RecursionError) as error:
        raise Malformed(f"its random streams are unreadable: {error}") from None


def checked(state: TrainingState) -> TrainingState:
    """A state, after checking all that it says.

    Raises:
        Malformed: something in it is not what a solver has written.

    Example:
        >>> checked(TrainingState(-1, "net.caffemodel", []))
        Traceback (most recent call last):
        ...
        cafx_lib_states.Malformed: its iteration is -1
    """
    for what, number in (("iteration", state.iter), ("step of the learning rate", state.current_step)):
        if not _is_below(number, MOST_ITERATIONS):
            raise Malformed(f"its {what} is {number}")
    learned = state.learned_net
    if "\0" in learned or len(learned.encode("utf-8", "surrogateescape")) > MOST_TEXT:
        raise Malformed("the name of its weights is no path")
    for index, blob in enumerate(state.history):
        if not np.issubdtype(np.asarray(blob.data).dtype, np.floating):
            raise Malformed(f"its history {index} is not of floating-point numbers")
    if state.exact is not None:
        _check_exact(state.exact)
    return state


def _check_exact(exact: Any) -> None:
    """Check what `cafx.kernel.training.snapshot` adds to Caffe's state."""
    held = _dict(exact, "its further state")
    losses, nets, ranks = held.get("losses"), held.get("nets"), held.get("ranks", [])
    if not isinstance(losses, list) or any(
        isinstance(each, bool) or not isinstance(each, (int, float)) for each in losses
    ):
        raise Malformed("its losses are not numbers")
    if not isinstance(nets, list) or not isinstance(ranks, list):
        raise Malformed("its further state has no list of nets")
    for name, value in _dict(held.get("engine", {}), "its engine").items():
        if not isinstance(value, str) and not _is_below(value, 2**31):
            raise Malformed(f"its engine's {name} is {value!r}")
    for number, net in enumerate([*nets, *ranks]):
        where = f"net {number} of its further state"
        _check_streams(_dict(_dict(net, where).get("streams"), f"the random streams of {where}"))
        for name, layer in _dict(net.get("layers"), f"the layers of {where}").items():
            _dict(layer, f"layer '{name}' of {where}")


def _check_streams(streams: Mapping[str, Any]) -> None:
    if not _is_below(streams.get("seed"), 2**64):
        raise Malformed(f"its seed is {streams.get('seed')!r}")
    for name, position in _dict(streams.get("streams"), "its random streams").items():
        if not _matches(position, PCG64):
            raise Malformed(f"random stream '{name}' has no position")
    for name, position in _dict(streams.get("counters", {}), "its counters").items():
        if not _is_below(position, 2**64):
            raise Malformed(f"random stream '{name}' is at {position!r}")


def _matches(value: Any, form: Any) -> bool:
    """Whether a value has the form of another: the same keys and texts, and numbers below those."""
    if isinstance(form, dict):
        return (
            isinstance(value, dict) and value.keys() == form.keys() and all(_matches(value[k], form[k]) for k in form)
        )
    return bool(value == form) if isinstance(form, str) else _is_below(value, form)


def _is_below(value: Any, limit: int) -> bool:
    """Whether a value is a whole number from 0 to below a limit."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < limit


def _dict(value: Any, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise Malformed(f"{what} cannot be read")
    return value
