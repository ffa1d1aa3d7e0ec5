"""Interp beyond the conformance suite."""

from typing import Any

import numpy as np
import pytest

from cafx.conformance import layer_suite, plugin_suite, run_layer
from cafx.kernel import CafxError, registry

TestInterp = layer_suite("Interp")

IMAGE = np.random.default_rng(4).standard_normal((2, 3, 7, 8))
TOLERANCE = 1e-6


def interpolated(x: Any, size: tuple[int, int]) -> Any:
    """The definition, pixel by pixel."""
    y = np.zeros((*x.shape[:2], *size))
    for i, j in np.ndindex(*size):
        places = [each * (n - 1) / max(m - 1, 1) for each, n, m in zip((i, j), x.shape[2:], size, strict=True)]
        (top, left), (down, right) = np.floor(places).astype(int), np.mod(places, 1)
        bottom, end = min(top + 1, x.shape[2] - 1), min(left + 1, x.shape[3] - 1)
        upper = (1 - right) * x[..., top, left] + right * x[..., top, end]
        lower = (1 - right) * x[..., bottom, left] + right * x[..., bottom, end]
        y[..., i, j] = (1 - down) * upper + down * lower
    return y


@pytest.mark.parametrize("size", [(13, 15), (3, 4), (20, 2), (1, 1), (7, 8)])
def test_it_equals_the_definition_pixel_by_pixel(size: tuple[int, int]) -> None:
    run = run_layer("Interp", [IMAGE], options={"height": size[0], "width": size[1]})
    np.testing.assert_allclose(run.tops[0], interpolated(IMAGE, size), atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "size"),
    [
        ({"zoom_factor": 3, "height": 2, "width": 2}, (19, 22)),
        ({"shrink_factor": 2, "height": 2, "width": 2}, (4, 4)),
        ({"shrink_factor": 2, "zoom_factor": 3, "height": 5, "width": 2}, (5, 2)),
        ({"shrink_factor": 2, "zoom_factor": 3}, (10, 10)),
        ({"zoom_factor": 2, "pad_beg": -1, "pad_end": -2}, (7, 9)),
    ],
)
def test_the_size_is_determined_by_the_first_rule_that_applies(options: dict[str, int], size: tuple[int, int]) -> None:
    assert run_layer("Interp", [IMAGE], options=options).tops[0].shape[2:] == size


def test_the_nearest_pixel_of_every_plane_is_taken_and_halves_round_up() -> None:
    run = run_layer("Interp", [IMAGE], options={"zoom_factor": 2, "mode": "NEAREST_OF_ALL"})
    rows, columns = (np.arange(2 * n - 1) // 2 + np.arange(2 * n - 1) % 2 for n in (7, 8))
    np.testing.assert_array_equal(run.tops[0], IMAGE.astype(np.float32)[:, :, rows][..., columns])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"height": 3}, "size of the top is not set"),
        ({"height": 0, "width": 3}, "the top is empty"),
        ({"zoom_factor": 0}, "zoom_factor is not positive"),
        ({"zoom_factor": 2, "pad_beg": 1}, "pad_beg=1 is not valid"),
        ({"zoom_factor": 2, "pad_beg": -7}, "the image is empty"),
    ],
)
def test_options_that_give_no_image_are_refused(options: dict[str, int], message: str) -> None:
    with pytest.raises(CafxError, match=message):
        run_layer("Interp", [IMAGE], options=options)


def test_nearest_is_the_fork_s_first_plane_only_and_says_so(caplog: pytest.LogCaptureFixture) -> None:
    every, one = (
        run_layer("Interp", [IMAGE], options={"zoom_factor": 2, "mode": mode}).tops[0]
        for mode in ("NEAREST_OF_ALL", "NEAREST")
    )
    np.testing.assert_array_equal(one[0, 0], every[0, 0])
    assert not one[0, 1:].any()
    assert not one[1:].any()
    assert "NEAREST_OF_ALL computes all" in caplog.text


def test_nearest_keeps_all_planes_if_the_size_stays() -> None:
    run = run_layer("Interp", [IMAGE], options={"height": 7, "width": 8, "mode": "NEAREST"})
    np.testing.assert_array_equal(run.tops[0], IMAGE.astype(np.float32))


TestRoutine = plugin_suite("engine.onednn", "Interp")


@pytest.mark.parametrize("value", [None, np.nan, np.inf, 1e38])
@pytest.mark.parametrize(
    ("shape", "size"),
    [
        ((2, 3, 7, 8), (13, 40)),
        ((3, 40, 9, 5), (33, 31)),
        ((1, 2, 1, 9), (17, 17)),
        ((1, 2, 9, 1), (5, 16)),
        ((2, 2, 30, 33), (7, 4)),
        ((1, 1, 6, 6), (6, 6)),
        ((1, 3, 60, 60), (473, 473)),
    ],
)
def test_onednn_agrees(shape: tuple[int, ...], size: tuple[int, int], value: float | None) -> None:
    if reason := registry().load("engine", "onednn").unavailable():
        pytest.skip(reason)
    rng = np.random.default_rng(0)
    x, dy = rng.standard_normal(shape, np.float32), rng.standard_normal((*shape[:2], *size), np.float32)
    if value is not None:
        x[0, 0, -1, 0] = dy[-1, -1, 0, -1] = value
    options = {"height": size[0], "width": size[1]}
    with np.errstate(all="ignore"):
        found, expected = (
            run_layer("Interp", [x], options=options, top_diffs=[dy], engine=engine) for engine in ("onednn", "numpy")
        )
    assert found.net.program.parts[-1].run_by == "onednn"
    for one, other in ((found.tops[0], expected.tops[0]), (found.bottom_diffs[0], expected.bottom_diffs[0])):
        with np.errstate(all="ignore"):
            largest = np.abs(other[np.isfinite(other)]).max(initial=1)
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=float(largest) * TOLERANCE)
