"""Convolution beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, run_layer
from cafx.kernel import CafxError, Engine

TestConvolution = layer_suite("Convolution")

RNG = np.random.default_rng(7)
IMAGES, WEIGHTS, DIFFS = (RNG.standard_normal(shape) for shape in ((5, 4, 6, 7), (6, 2, 3, 3), (5, 6, 2, 3)))


def run(**options: Any) -> Any:
    """A strided convolution in two groups, forward and backward."""
    options = {"num_output": 6, "group": 2, "kernel_size": [3], "stride": [2], **options}
    return run_layer("Convolution", [IMAGES], options=options, params=[WEIGHTS], top_diffs=[DIFFS], dtype=np.float64)


def test_forward_matches_the_definition() -> None:
    y = run(bias_term=False).tops[0]
    for n, m, i, j in np.ndindex(5, 6, 2, 3):
        window = IMAGES[n, 2 * (m // 3) : 2 * (m // 3) + 2, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3]
        assert y[n, m, i, j] == pytest.approx((WEIGHTS[m] * window).sum())


def test_processing_one_image_at_a_time_gives_the_same_results(monkeypatch: pytest.MonkeyPatch) -> None:
    together = run()
    monkeypatch.setattr(Engine, "buffer_values", 1)
    alone = run()
    assert alone.net.context.workspace.nbytes < together.net.context.workspace.nbytes
    for one, two in zip(
        [*together.tops, *together.bottom_diffs, *together.param_diffs],
        [*alone.tops, *alone.bottom_diffs, *alone.param_diffs],
        strict=True,
    ):
        np.testing.assert_allclose(one, two, rtol=1e-10, atol=1e-10)


def test_scratch_memory_does_not_grow_with_the_batch() -> None:
    def scratch_bytes(batch: int) -> int:
        images = np.zeros((batch, 3, 64, 64))
        run = run_layer("Convolution", [images], options={"num_output": 2, "kernel_size": [5]})
        return run.net.context.workspace.nbytes

    assert scratch_bytes(8) == scratch_bytes(32)


@pytest.mark.parametrize(
    "options",
    [{"num_output": 0}, {"group": 3}, {"group": 0}, {"kernel_size": [9]}, {"axis": 4}, {"axis": 3, "pad_w": 1}],
)
def test_invalid_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(CafxError, match=r"not valid|subject"):
        run(**options)


@pytest.mark.parametrize("options", [{}, {"kernel_size": [3]}])
def test_a_missing_num_output_is_named(options: dict[str, Any]) -> None:
    with pytest.raises(CafxError, match="num_output is missing"):
        run_layer("Convolution", [np.zeros((1, 4, 8, 8))], options=options)
