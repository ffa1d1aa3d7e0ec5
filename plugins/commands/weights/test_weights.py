"""``cafx weights``: statistics and pictures of filters."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError, registry, schema
from cafx.kernel.net import BlobValues, LayerWeights, format_named
from cafx_command_weights import filter_grid, weights

TestWeights = plugin_suite("command", "weights")
FILTERS = np.random.default_rng(0).normal(size=(5, 3, 4, 4)).astype(np.float32)


@pytest.fixture
def model(tmp_path: Path) -> str:
    """A caffemodel with filters, a half empty bias and a broken layer."""
    layers = [
        LayerWeights("conv", [BlobValues(FILTERS.shape, FILTERS.reshape(-1))]),
        LayerWeights("ip", [BlobValues((2, 2), np.array([0, 0, 1, 3], np.float32))]),
        LayerWeights("bad", [BlobValues((1,), np.array([np.nan], np.float32))]),
    ]
    net = schema()["NetParameter"](name="some")
    for layer in layers:
        net.layer.add(name=layer.name, type="Convolution")
    path = tmp_path / "some.caffemodel"
    format_named("BINARYPROTO", registry()).write_weights(path, net, layers)
    return str(path)


def test_statistics_of_every_blob(model: str) -> None:
    rows = json.loads(CliRunner().invoke(weights, [model, "--json"]).stdout)["blobs"]
    assert [(row["layer"], row["shape"]) for row in rows] == [("conv", [5, 3, 4, 4]), ("ip", [2, 2]), ("bad", [1])]
    assert (rows[1]["mean"], rows[1]["zeros"], rows[1]["max"]) == (1.0, 0.5, 3.0)
    assert rows[0]["std"] == pytest.approx(float(FILTERS.std()), rel=1e-5)
    assert rows[2]["finite"] is False


def test_the_table_has_shapes_and_totals(model: str) -> None:
    text = CliRunner().invoke(weights, [model]).stdout
    assert "5×3×4×4" in text
    assert "not finite" in text
    assert "3 blobs, 245 values" in text


def test_filters_are_drawn(model: str, tmp_path: Path) -> None:
    out = tmp_path / "filters.png"
    assert CliRunner().invoke(weights, [model, "--filters", str(out)]).exit_code == 0
    assert out.read_bytes().startswith(b"\x89PNG")
    none = CliRunner().invoke(weights, [model, "--filters", str(out), "--layer", "ip"])
    assert isinstance(none.exception, CafxError)


def test_filters_with_three_channels_are_drawn_as_rgb() -> None:
    picture = filter_grid(FILTERS)
    assert picture.shape == (2 * 5 - 1, 3 * 5 - 1, 3)
    low, high = FILTERS.min(), FILTERS.max()
    np.testing.assert_allclose(picture[:4, :4, 0], (FILTERS[0, 2] - low) / (high - low), rtol=1e-5)
    assert filter_grid(FILTERS[:, :2]).ndim == 2


@pytest.mark.parametrize(("width", "lines"), [(140, 1), (80, 2)])
def test_the_table_fits_the_terminal_without_truncating_numbers(
    model: str, width: int, lines: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", str(width))
    monkeypatch.setenv("FORCE_COLOR", "1")  # as in a terminal
    monkeypatch.setenv("TERM", "xterm")
    text = re.sub(r"\x1b\[[0-9;]*m", "", CliRunner().invoke(weights, [model]).stdout)
    body = [line for line in text.splitlines() if line.startswith("│")]
    assert len(body) == 3 * lines
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert f"{FILTERS.std():.4g}" in text


def test_a_failed_write_leaves_no_file(model: str, tmp_path: Path) -> None:
    before = set(tmp_path.iterdir())
    for out in ("missing/p.png", "p.xyz"):
        result = CliRunner().invoke(weights, [model, "--filters", str(tmp_path / out)])
        assert isinstance(result.exception, CafxError)
    assert set(tmp_path.iterdir()) == before
