"""Sequences: rows of files as recurrent layers read them, and a net run one step at a time."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from cafx.dsl import NetSpec
from cafx.dsl import layers as L
from cafx.kernel import TEST, CafxError, Net
from cafx_applications import texts
from cafx_applications.sequences import OneStep, continuation, time_major, write_rows

STEPS, STREAMS, INPUTS, HIDDEN = 5, 3, 4, 6
CLOSE = 1e-5  # float32: products are summed in another order


def recurrent(steps: int, exposed: bool) -> NetSpec:
    n = NetSpec("recurrent")
    n.x, n.cont = L.Input(shape=[[steps, STREAMS, INPUTS], [steps, STREAMS]], ntop=2)
    filler = {"type": "uniform", "min": -1, "max": 1}
    options = {"num_output": HIDDEN, "weight_filler": filler}
    if exposed:
        n.h_0, n.c_0 = L.Input(shape=[1, STREAMS, HIDDEN], ntop=2)
        n.lstm, n.h, n.c = L.LSTM(n.x, n.cont, n.h_0, n.c_0, expose_hidden=True, ntop=3, **options)
    else:
        n.lstm = L.LSTM(n.x, n.cont, **options)
    n.prob = L.Softmax(n.lstm, axis=2)
    return n


def test_one_step_at_a_time_equals_the_whole_sequence() -> None:
    whole, single = Net(recurrent(STEPS, False), TEST, seed=1), Net(recurrent(1, True), TEST, seed=2)
    single.copy_from(whole)
    x = np.random.default_rng(1).standard_normal((STEPS, STREAMS, INPUTS))
    markers = continuation(STREAMS, STEPS).T
    whole.forward(x=-x, cont=markers)  # leaves states behind, which the next sequences must not see
    expected = whole.forward(x=x, cont=markers)["prob"]
    step = OneStep(single)
    states = step.start()
    for time in range(STEPS):
        probabilities, states = step(states, x=x[time : time + 1], cont=np.ones((1, STREAMS)))
        np.testing.assert_allclose(probabilities, expected[time], atol=CLOSE)
    assert np.abs(expected[1] - expected[0]).max() > 100 * CLOSE


def test_a_layer_reads_the_rows_as_batches_of_sequences(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    sequences = np.arange(2 * STREAMS * STEPS).reshape(2 * STREAMS, STEPS)
    source = write_rows(tmp_path / "some.h5", lambda: {"words": time_major(sequences, STREAMS)})
    n = NetSpec("rows")
    n.words = L.HDF5Data(source=source, batch_size=STEPS)
    net = Net(n, TEST)
    for batch in (sequences[:STREAMS], sequences[STREAMS:], sequences[:STREAMS]):
        np.testing.assert_array_equal(net.forward()["words"], batch.T)


def test_rows_that_exist_are_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert write_rows(tmp_path / "some.h5", lambda: {"x": np.zeros(3)}) == "some_list.txt"
    assert write_rows(tmp_path / "some.h5", lambda: pytest.fail("made again")) == "some_list.txt"


def test_rows_that_may_have_changed_are_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for value in (1, 2):
        source = write_rows(tmp_path / "some.h5", lambda value=value: {"x": [value]}, replace=True)
        n = NetSpec("rows")
        n.x = L.HDF5Data(source=source, batch_size=1)
        assert Net(n, TEST).forward()["x"].tolist() == [value]


def test_rows_that_cannot_be_made_leave_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ZeroDivisionError):
        write_rows(tmp_path / "some.h5", lambda: {"x": [1 / 0]})
    assert list(tmp_path.iterdir()) == []


def test_a_text_is_named_by_a_variable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(texts.SETTING, str(tmp_path / "none.txt"))
    with pytest.raises(CafxError, match=r"none\.txt"):
        texts.documentation()
    (tmp_path / "none.txt").write_text("to be")
    assert texts.documentation() == "to be"
