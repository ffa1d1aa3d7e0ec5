"""The checklist of file formats, continued: other files, damaged files, and saves that do not end."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from pathlib import Path
from typing import Any

import attrs
import numpy as np

from cafx.conformance.kinds.format import FOREIGN, KIND, FormatCase, compare, contents, made, require_refusal, state
from cafx.conformance.kinds.space import CAN_LIMIT, folder, no_space
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import CafxError
from cafx.kernel.net import ABSENT, LayerWeights

SMALL = 100
"""Bytes that a full disk still takes."""


@check("foreign", "other files, folders and missing ones raise a CafxError that names them", kind=KIND)
def foreign(subject: Subject, case: FormatCase) -> None:
    read = made(subject)
    readers = [read.read_weights, *([read.read_state] if case.states else [])]
    with folder() as place:
        for what, data in FOREIGN.items():
            (place / "other").write_bytes(data)
            for reader in readers:
                require_refusal(partial(reader, place / "other"), place / "other", f"{what} is read")
        for name in ("missing", "."):
            for reader in readers:
                path = place / name
                require_refusal(partial(reader, path), path, f"'{name}' is read")


def small_file(subject: Subject, case: FormatCase, path: Path) -> list[LayerWeights]:
    """Write a small file; returns its layers."""
    net, layers = contents(subject, case, ())
    made(subject).write_weights(path, net, layers)
    return layers


def spread(size: int, most: int) -> list[int]:
    """Positions in a file: all of them, or as many as wanted, those at both ends among them."""
    if size <= most:
        return list(range(size))
    ends = {*range(most // 8), *range(size - most // 8, size)}
    return sorted(ends | set(np.linspace(0, size - 1, most - len(ends), dtype=int).tolist()))


@check("truncated", "a file cut off at any byte raises a CafxError, or what is read is what was written", kind=KIND)
def truncated(subject: Subject, case: FormatCase) -> None:
    with folder() as place:
        layers = small_file(subject, case, place / "w")
        data, broken = (place / "w").read_bytes(), place / "broken"
        for size in spread(len(data), case.positions):
            broken.write_bytes(data[:size])
            found = read_or_refused(lambda: made(subject).read_weights(broken), f"cut off at byte {size}", broken)
            problem = compare(found or (), layers, complete=False)
            if problem:
                raise CheckFailure(f"cut off at byte {size}: {problem}")
        if case.states:
            made(subject).write_state(place / "s", state())
            data = (place / "s").read_bytes()
            for size in spread(len(data), case.positions // 4):
                broken.write_bytes(data[:size])
                read_or_refused(lambda: made(subject).read_state(broken), f"a state cut off at byte {size}", broken)


@check(
    "changed", "a file with any byte changed raises a CafxError, or holds as many values as its shapes say", kind=KIND
)
def changed(subject: Subject, case: FormatCase) -> None:
    with folder() as place:
        small_file(subject, case, place / "w")
        data, broken = (place / "w").read_bytes(), place / "broken"
        for at in spread(len(data), case.positions):
            broken.write_bytes(data[:at] + bytes([data[at] ^ (0xFF if at % 2 else 1 << at // 2 % 8)]) + data[at + 1 :])
            found = read_or_refused(lambda: made(subject).read_weights(broken), f"byte {at} changed", broken)
            for each in (each for layer in found or () for each in layer.blobs):
                arrays = [np.asarray(part) for part in (each.data, each.diff) if part is not None]
                if each.shape != ABSENT and any(array.size != math.prod(each.shape) for array in arrays):
                    raise CheckFailure(f"byte {at} changed: a blob of shape {each.shape} has {arrays[0].size} values")
                if sum(array.nbytes for array in arrays) > 8 * len(data):
                    raise CheckFailure(f"byte {at} changed: {len(data)} bytes become {arrays[0].nbytes}")
        if case.states:
            made(subject).write_state(place / "s", state())
            data = (place / "s").read_bytes()
            for at in spread(len(data), case.positions // 4):
                broken.write_bytes(data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :])
                read_or_refused(lambda: made(subject).read_state(broken), f"byte {at} of a state changed", broken)


def read_or_refused(read: Callable[[], Any], what: str, path: Path) -> Any:
    """What is read, or None if a CafxError says what is wrong with the file."""
    try:
        return read()
    except CafxError as error:
        if path.name not in str(error):
            raise CheckFailure(f"{what}: the error does not name the file: {error}") from None
    except Exception as error:
        raise CheckFailure(f"{what}: {type(error).__name__}: {error}; raise a CafxError") from error
    return None


class Interrupted(list[Any]):
    """Layers or blobs of which the last one never comes."""

    def __iter__(self) -> Iterator[Any]:
        yield from self[:-1]
        raise KeyboardInterrupt


@check("interrupted", "a save that is interrupted, or finds no space, leaves the old file and nothing else", kind=KIND)
def interrupted(subject: Subject, case: FormatCase) -> None:
    net, layers = contents(subject, case)
    with folder() as place:
        path = place / "w"
        path.write_bytes(b"the old file")
        saves: list[tuple[str, Callable[[], Any], AbstractContextManager[None]]] = []
        writer, held = made(subject), state()
        whole, cut = partial(writer.write_weights, path, net), attrs.evolve(held, history=Interrupted(held.history))
        saves.append(("Ctrl-C", partial(whole, Interrupted(layers)), nullcontext()))
        if case.states:
            saves.append(("Ctrl-C, of a state", partial(writer.write_state, path, cut), nullcontext()))
        if CAN_LIMIT:
            saves.append(("a full disk", partial(whole, layers), no_space(SMALL)))
        if CAN_LIMIT and case.states:
            saves.append(("a full disk, of a state", partial(writer.write_state, path, held), no_space(SMALL)))
        for what, run, limit in saves:
            try:
                with limit:
                    run()
            except (KeyboardInterrupt, CafxError):
                pass
            except Exception as error:
                raise CheckFailure(f"{what}: {type(error).__name__}: {error}; raise a CafxError") from error
            else:
                raise CheckFailure(f"{what}: the save ends without an error")
            left = sorted(each.name for each in place.iterdir())
            if left != [path.name] or path.read_bytes() != b"the old file":
                raise CheckFailure(f"{what}: the old file is changed, or others are left: {', '.join(left)}")
