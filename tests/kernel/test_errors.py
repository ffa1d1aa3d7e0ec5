"""CafxError: what a person reads."""

import pytest

from cafx.kernel import CafxError
from cafx.kernel.errors import did_you_mean

LAYER = "layer 'conv1' (Convolution)"


def test_all_parts_stand_in_one_line() -> None:
    error = CafxError("num_output", where="a.prototxt:3", found=0, expected="at least 1", remedy="state it")
    assert str(error) == "a.prototxt:3: num_output: got 0, expected at least 1; state it"
    assert str(CafxError("plain")) == "plain"


@pytest.mark.parametrize(
    ("known", "wider", "told"),
    [
        (None, f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}"),
        (LAYER, f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}"),
        (f"{LAYER}: train_lmdb", f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}: train_lmdb"),
        ("mean.binaryproto", LAYER, f"{LAYER}: mean.binaryproto"),
        (f"a.prototxt:3: {LAYER}", LAYER, f"a.prototxt:3: {LAYER}"),
    ],
)
def test_places_are_nested_and_named_once(known: str | None, wider: str, told: str) -> None:
    assert CafxError("wrong", where=known).at(wider).where == told


def test_near_misses_are_named() -> None:
    assert did_you_mean("kernal_size", ["kernel_size", "stride"]) == "did you mean 'kernel_size'?"
    assert did_you_mean("zzz", ["kernel_size"]) is None
