"""Window geometry, against its definition."""

import pytest

from cafx_lib_im2col import Window, axis_taps


@pytest.mark.parametrize(("kernel", "stride", "pad", "dilation"), [(3, 2, 4, 2), (1, 3, 0, 1), (4, 1, 1, 0)])
def test_axis_taps_match_the_definition(kernel: int, stride: int, pad: int, dilation: int) -> None:
    inputs, outputs = 5, 6
    expected = {
        (k, o, o * stride + k * dilation - pad)
        for k in range(kernel)
        for o in range(outputs)
        if 0 <= o * stride + k * dilation - pad < inputs
    }
    actual = {
        (k, o, i)
        for k, to, at in axis_taps(kernel, stride, pad, dilation, inputs, outputs)
        for o, i in zip(range(outputs)[to], range(inputs)[at], strict=True)
    }
    assert actual == expected


def test_taps_that_read_only_padding_are_skipped() -> None:
    assert [k for k, _, _ in axis_taps(2**32 - 1, 1, 2**31, 1, 3, 2)] == list(range(2**31 - 1, 2**31 + 3))


def test_inputs_inverts_outputs() -> None:
    window = Window((3, 2), (2, 3), (1, 0), (2, 1))
    assert window.outputs(window.inputs((4, 5))) == (4, 5)
