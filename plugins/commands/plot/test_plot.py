"""Reading and drawing logs."""

from __future__ import annotations

from pathlib import Path

import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_command_plot import Curves, draw, names_of, plot, read

TestPlot = plugin_suite("command", "plot")

CAFFE_LOG = """Log file created at: 2015/12/31 23:59:58
Running on machine: lab
I1231 23:59:58.000000  4711 caffe.cpp:219] Starting Optimization
I1231 23:59:58.500000  4711 solver.cpp:280] Solving LeNet
I1231 23:59:58.600000  4711 solver.cpp:338] Iteration 0, Testing net (#0)
I1231 23:59:58.900000  4711 solver.cpp:406]     Test net output #0: accuracy = 0.1
I1231 23:59:58.900001  4711 solver.cpp:406]     Test net output #1: loss = 2.4 (* 1 = 2.4 loss)
I1231 23:59:59.000000  4711 solver.cpp:229] Iteration 0, loss = 2.5
I1231 23:59:59.000000  4711 solver.cpp:245]     Train net output #0: loss = 2.5 (* 1 = 2.5 loss)
I1231 23:59:59.000000  4711 sgd_solver.cpp:106] Iteration 0, lr = 0.01
I0101 00:00:08.000000  4711 solver.cpp:239] Iteration 100 (11 iter/s, 9s/100 iters), loss = 0.5
I0101 00:00:08.000000  4711 sgd_solver.cpp:106] Iteration 100, lr = 0.0099
"""
CSV = "iteration,seconds,loss,lr,test/accuracy\n0,0.1,,,0.5\n0,0.2,3.0,0.01,\n1,0.4,2.0,0.01,\n"
JSON_LINES = '{"iteration": 0, "seconds": 0.1, "loss": null, "lr": 0.1}\n{"iteration": 1, "seconds": 1, "loss": 2}\n'


def points(path: Path, text: str, name: str) -> list[tuple[int, float, float]]:
    """The points of one curve of a log with this text."""
    path.write_text(text)
    return read(path).by_name[name].points


def test_a_log_of_caffe_across_new_year(tmp_path: Path) -> None:
    log = tmp_path / "caffe.log"
    assert points(log, CAFFE_LOG, "loss") == [(0, 1.0, 2.5), (100, 10.0, 0.5)]
    assert points(log, CAFFE_LOG, "lr") == [(0, 1.0, 0.01), (100, 10.0, 0.0099)]
    assert points(log, CAFFE_LOG, "test/accuracy") == [(0, 0.9, 0.1)]
    assert points(log, CAFFE_LOG, "test/loss") == [(0, 0.900001, 2.4)]


def test_a_log_with_years(tmp_path: Path) -> None:
    later = CAFFE_LOG.replace("I1231", "I20151231").replace("I0101", "I20160101")
    assert points(tmp_path / "later.log", later, "loss") == [(0, 1.0, 2.5), (100, 10.0, 0.5)]


def test_metrics_files(tmp_path: Path) -> None:
    assert points(tmp_path / "m.csv", CSV, "loss") == [(0, 0.2, 3.0), (1, 0.4, 2.0)]
    assert points(tmp_path / "m.csv", CSV, "test/accuracy") == [(0, 0.1, 0.5)]
    assert points(tmp_path / "m.jsonl", JSON_LINES, "loss") == [(1, 1.0, 2.0)]


@pytest.mark.parametrize("text", ["", "nothing of use\n", "iteration,seconds\nx,y\n", "{not json\n"])
def test_files_without_curves_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "odd.log"
    path.write_text(text)
    with pytest.raises(CafxError, match=r"odd\.log"):
        read(path)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "head"), [("p.png", b"\x89PNG"), ("p.svg", b"<?xml")])
def test_several_runs_share_one_picture(tmp_path: Path, name: str, head: bytes) -> None:
    (tmp_path / "a.log").write_text(CAFFE_LOG)
    (tmp_path / "b.csv").write_text(CSV)
    out = tmp_path / name
    logs = [str(tmp_path / "a.log"), str(tmp_path / "b.csv")]
    result = CliRunner().invoke(plot, [*logs, "--out", str(out), "--over", "seconds", "--log-scale", "--smooth", "2"])
    assert result.exit_code == 0, result.output
    assert out.read_bytes().startswith(head)


def test_an_unknown_curve_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(CSV)
    result = CliRunner().invoke(plot, [str(tmp_path / "b.csv"), "--only", "top5"])
    assert isinstance(result.exception, CafxError)
    assert "test/accuracy" in str(result.exception)


def test_names_of_runs_are_as_short_as_possible() -> None:
    assert names_of([Path("a/slow.log"), Path("a/fast.log")]) == ["slow", "fast"]
    assert names_of([Path("a/run.log"), Path("a/run.csv")]) == ["run.log", "run.csv"]
    assert names_of([Path("a/run.log"), Path("b/run.log")]) == ["a/run", "b/run"]


def test_each_of_several_runs_has_one_colour() -> None:
    curves = Curves()
    for name in ("test/loss", "loss", "test/accuracy", "train/accuracy"):
        curves.add(name, 0, 0.0, 1.0)
    several, one = Figure(), Figure()
    draw(several, [("a", curves), ("b", curves)], "iterations", set(curves.by_name))
    losses, scores = ({line.get_label(): line for line in axes.lines} for axes in several.axes)
    assert losses["a: loss"].get_color() == losses["a: test/loss"].get_color() == scores["a: test/accuracy"].get_color()
    assert losses["a: loss"].get_color() != losses["b: loss"].get_color()
    assert losses["a: loss"].get_linestyle() == scores["a: train/accuracy"].get_linestyle() == "-"
    assert losses["a: test/loss"].get_linestyle() == scores["a: test/accuracy"].get_linestyle() == "--"
    draw(one, [("a", curves)], "iterations", set(curves.by_name))
    assert [line.get_label() for line in one.axes[0].lines] == ["loss", "test/loss"]
    assert len({line.get_color() for line in one.axes[0].lines}) == 2


def training(first: float = 87.3) -> Curves:
    """A run whose loss begins far above all later values, with two tests."""
    curves = Curves()
    for iteration in range(200):
        curves.add("loss", iteration, 0.0, first if not iteration else 2.0 - iteration / 200)
    for iteration, loss in ((0, 79.0), (100, 1.73)):
        curves.add("test/loss", iteration, 0.0, loss)
    return curves


def test_smoothing_leaves_test_points_alone() -> None:
    figure = Figure()
    draw(figure, [("a", training())], "iterations", {"loss", "test/loss"}, smooth=20)
    smoothed, tested = figure.axes[0].lines
    assert list(tested.get_ydata()) == [79.0, 1.73]
    assert smoothed.get_ydata()[1] == pytest.approx((87.3 + 2.0 - 1 / 200) / 2)


def test_what_is_not_finite_does_not_spoil_its_neighbours() -> None:
    curves = Curves()
    for iteration, loss in enumerate((1.0, float("nan"), 3.0)):
        curves.add("loss", iteration, 0.0, loss)
    figure = Figure()
    draw(figure, [("a", curves)], "iterations", {"loss"}, smooth=2)
    first, second, third = figure.axes[0].lines[0].get_ydata()
    assert (first, second != second, third) == (1.0, True, 3.0)


def test_a_few_large_losses_do_not_flatten_the_curve_and_are_counted() -> None:
    figure = Figure()
    draw(figure, [("a", training())], "iterations", {"loss"})
    axes = figure.axes[0]
    assert 2.0 < axes.get_ylim()[1] < 3.0
    assert [text.get_text() for text in axes.texts] == ["1 point outside"]


@pytest.mark.parametrize(("first", "names"), [(87.3, {"loss", "test/loss"}), (2.4, {"loss"})])
def test_test_points_and_moderate_values_stay_inside(first: float, names: set[str]) -> None:
    figure = Figure()
    draw(figure, [("a", training(first))], "iterations", names)
    assert figure.axes[0].get_ylim()[1] >= max(max(line.get_ydata()) for line in figure.axes[0].lines)
    assert not figure.axes[0].texts


@pytest.mark.slow
def test_a_failed_write_leaves_no_file(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(CSV)
    for out in ("missing/p.png", "p.xyz"):
        result = CliRunner().invoke(plot, [str(tmp_path / "b.csv"), "--out", str(tmp_path / out)])
        assert isinstance(result.exception, CafxError)
    assert [path.name for path in tmp_path.iterdir()] == ["b.csv"]


@pytest.mark.slow
def test_without_a_screen_the_picture_is_written_before_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("matplotlib.pyplot.get_backend", lambda: "agg")
    (tmp_path / "b.csv").write_text(CSV)
    result = CliRunner().invoke(plot, [str(tmp_path / "b.csv"), "--out", str(tmp_path / "p.png"), "--show"])
    assert "no screen" in str(result.exception)
    assert (tmp_path / "p.png").is_file()
