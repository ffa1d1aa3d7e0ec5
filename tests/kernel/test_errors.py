"""The text of CafxError."""

import pytest

from cafx.kernel import CafxError
from cafx.kernel.errors import did_you_mean

LAYER = "layer 'conv1' (Convolution)"


def test_an_error_is_one_line_with_all_parts() -> None:
    error = CafxError("num_output", where="a.prototxt:3", found=0, expected="at least 1", remedy="state it")
    assert str(error) == "a.prototxt:3: num_output: got 0, expected at least 1; state it"
    assert str(CafxError("plain")) == "plain"


@pytest.mark.parametrize(
    ("where", "wider", "expected"),
    [
        (None, f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}"),
        (LAYER, f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}"),
        (f"{LAYER}: train_lmdb", f"a.prototxt:3: {LAYER}", f"a.prototxt:3: {LAYER}: train_lmdb"),
        ("mean.binaryproto", LAYER, f"{LAYER}: mean.binaryproto"),
        (f"a.prototxt:3: {LAYER}", LAYER, f"a.prototxt:3: {LAYER}"),
    ],
)
def test_places_are_nested_without_repetition(where: str | None, wider: str, expected: str) -> None:
    assert CafxError("wrong", where=where).at(wider).where == expected


def test_similar_names_are_suggested() -> None:
    assert did_you_mean("kernal_size", ["kernel_size", "stride"]) == "did you mean 'kernel_size'?"
    assert did_you_mean("zzz", ["kernel_size"]) is None
