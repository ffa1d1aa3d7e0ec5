"""Each check of the checklist of formats catches a format that violates its requirement."""

from __future__ import annotations

import functools
import json
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.conformance.kinds.format import FormatCase
from cafx.kernel import CafxError, Format, Registry
from cafx.kernel.files import atomic_write, read_file
from cafx.kernel.net import ABSENT, BlobValues, LayerWeights, TrainingState

CHECKS = load_checks("format")
MARK = b"hexadecimal\n"
TYPES = {"<f4": np.float32, "<f8": np.float64}


def encoded(blob: BlobValues) -> list[Any]:
    arrays = [None if each is None else [each.dtype.str, each.tobytes().hex()] for each in (blob.data, blob.diff)]
    return [list(blob.shape), *arrays]


def decoded(parts: list[Any]) -> BlobValues:
    shape, *arrays = parts
    data, diff = (None if each is None else np.frombuffer(bytes.fromhex(each[1]), TYPES[each[0]]) for each in arrays)
    assert data is not None
    for each in (data, data if diff is None else diff):
        if shape != list(ABSENT) and each.size != int(np.prod(shape)):
            raise ValueError("sizes differ")
    return BlobValues(tuple(shape), data, diff)


class Hexadecimal(Format):
    """A correct format: JSON with hexadecimal values, and a line that says so."""

    suffix = ".hex"

    def recognises(self, head: bytes) -> bool:
        return head.startswith(MARK)

    def load(self, path: Path, what: str) -> Any:
        data = read_file(path)
        try:
            if not data.startswith(MARK) or not data.endswith(b"\n"):
                raise ValueError("no mark, or no end")
            return json.loads(data[len(MARK) :])[what]
        except (ValueError, KeyError, TypeError) as error:
            raise CafxError(f"is damaged: {error}", where=str(path)) from None

    def store(self, path: Path, what: str, content: Any) -> None:
        with atomic_write(path) as file:
            file.write(MARK + json.dumps({what: content}).encode() + b"\n")

    def read_weights(self, path: Path) -> list[LayerWeights]:
        layers = self.load(path, "layers")
        try:
            return [LayerWeights(name, list(map(decoded, blobs))) for name, blobs in layers]
        except (ValueError, TypeError, LookupError) as error:
            raise CafxError(f"is damaged: {error}", where=str(path)) from None

    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        self.store(path, "layers", [[layer.name, list(map(encoded, layer.blobs))] for layer in layers])

    def read_state(self, path: Path) -> TrainingState:
        content = self.load(path, "state")
        return TrainingState(**{**content, "history": list(map(decoded, content["history"]))})

    def write_state(self, path: Path, state: TrainingState) -> None:
        content = attrs.asdict(state, recurse=False)
        self.store(path, "state", {**content, "history": list(map(encoded, state.history))})

    @classmethod
    def cases(cls) -> Iterable[FormatCase]:
        """It holds everything."""
        yield FormatCase("everything", positions=100)


class Weights(Hexadecimal):
    """A correct format that holds weights only, and these as they are."""

    def read_state(self, path: Path) -> TrainingState:
        raise CafxError("is not a state", where=str(path))

    def write_state(self, path: Path, state: TrainingState) -> None:
        raise CafxError("holds weights only", where=str(path))

    @classmethod
    def cases(cls) -> Iterable[FormatCase]:
        """It holds weights."""
        yield FormatCase("weights", states=False, positions=100)


WRONG: list[tuple[str, type[Any]]] = []


def wrong(*checks: str) -> Any:
    """Register a format that each of the checks must catch."""

    def register(kind: type[Any]) -> type[Any]:
        kind.__doc__ = kind.__doc__ or Hexadecimal.__doc__
        WRONG.extend((check, kind) for check in checks)
        return kind

    return register


def cases(*given: FormatCase) -> Any:
    return classmethod(lambda cls: given)


@wrong("entry-point")
class NoFormat:
    cases = cases()


@wrong("docstring")
class Undocumented(Hexadecimal):
    """Hexadecimal."""


@wrong("cases")
class WithoutCases(Hexadecimal):
    cases = cases()


@wrong("round-trip", "states")
class Rounding(Hexadecimal):
    def store(self, path: Path, what: str, content: Any) -> None:
        super().store(path, what, json.loads(json.dumps(content).replace("cdcccc3d", "cccccc3d")))


@wrong("round-trip", "nets")
class Forgetful(Hexadecimal):
    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        super().write_weights(path, net, [layer for layer in layers if "/" not in layer.name and layer.name != "none"])


@wrong("round-trip")
class WithoutGradients(Hexadecimal):
    def read_weights(self, path: Path) -> list[LayerWeights]:
        layers = super().read_weights(path)
        return [
            LayerWeights(layer.name, [BlobValues(blob.shape, blob.data) for blob in layer.blobs]) for layer in layers
        ]


@wrong("suffix")
class OddSuffix(Hexadecimal):
    suffix = "hex"


@wrong("suffix")
class TakenSuffix(Hexadecimal):
    suffix = ".safetensors"


@wrong("states")
class WithoutHistory(Hexadecimal):
    def read_state(self, path: Path) -> TrainingState:
        return attrs.evolve(super().read_state(path), history=[])


@wrong("no-states")
class Pretending(Hexadecimal):
    cases = Weights.cases


@wrong("recognises", "suffix")
class Blind(Hexadecimal):
    def recognises(self, head: bytes) -> bool:
        return False


@wrong("recognises")
class Greedy(Hexadecimal):
    def recognises(self, head: bytes) -> bool:
        return True


@wrong("foreign")
class Tolerant(Hexadecimal):
    def read_weights(self, path: Path) -> list[LayerWeights]:
        try:
            return super().read_weights(path)
        except CafxError:
            return []


@wrong("foreign", "truncated", "changed")
class Raw(Hexadecimal):
    def load(self, path: Path, what: str) -> Any:
        return json.loads(path.read_bytes()[len(MARK) :])[what]


@wrong("truncated")
class Repairing(Hexadecimal):
    def read_weights(self, path: Path) -> list[LayerWeights]:
        try:
            return super().read_weights(path)
        except CafxError:
            shape = (2, 2)
            return [LayerWeights("layer_of_shared_0", [BlobValues(shape, np.zeros(4, np.float32))])]


@wrong("truncated")
class Nameless(Hexadecimal):
    def load(self, path: Path, what: str) -> Any:
        try:
            return super().load(path, what)
        except CafxError:
            raise CafxError("is damaged") from None


@wrong("changed")
class Unchecked(Hexadecimal):
    def read_weights(self, path: Path) -> list[LayerWeights]:
        layers = self.load(path, "layers")
        try:
            return [
                LayerWeights(
                    name, [BlobValues(tuple(b[0]), np.frombuffer(bytes.fromhex(b[1][1]), b[1][0])) for b in blobs]
                )
                for name, blobs in layers
            ]
        except (ValueError, TypeError, LookupError) as error:
            raise CafxError(f"is damaged: {error}", where=str(path)) from None


@wrong("interrupted")
class InPlace(Hexadecimal):
    def store(self, path: Path, what: str, content: Any) -> None:
        try:
            path.write_bytes(MARK + json.dumps({what: content}).encode() + b"\n")
        except OSError as error:
            raise CafxError("cannot be written", where=str(path)) from error


@wrong("interrupted")
class Leaving(Hexadecimal):
    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        draft = path.with_suffix(".draft")
        draft.write_bytes(b"")
        super().write_weights(path, net, layers)
        draft.unlink()


@wrong("interrupted")
class Careless(Hexadecimal):
    def write_weights(self, path: Path, net: Any, layers: Sequence[LayerWeights]) -> None:
        try:
            super().write_weights(path, net, layers)
        except CafxError:
            return


@functools.cache
def subject(kind: type[Any]) -> Subject:
    """A format in a registry of its own."""
    plugins = Registry()
    plugins.add("format", "HEX", kind)
    return Subject.of("HEX", plugins, "format")


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "kind"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, kind: type[Any]) -> None:
    assert problems_of(subject(kind), "format", check_id)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [Hexadecimal, Weights])
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_format_passes(check_id: str, kind: type[Any]) -> None:
    assert problems_of(subject(kind), "format", check_id) == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} == set(CHECKS)
