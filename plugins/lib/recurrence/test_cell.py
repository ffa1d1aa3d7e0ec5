"""The LSTM cell's gradient, against finite differences."""

import numpy as np

from cafx_lib_recurrence import rows
from cafx_lib_recurrence.cell import step, step_backward

STEP, TOLERANCE = 1e-6, 1e-8  # central differences in float64 err by about STEP²


def test_step_backward_is_the_gradient_of_step() -> None:
    rng = np.random.default_rng(3)
    cell, inputs, cont = rng.standard_normal((2, 3)), rng.standard_normal((2, 12)), np.array([[1.0], [0.0]])
    cell_diff, hidden_diff = rng.standard_normal((2, 2, 3))

    def objective() -> float:
        _, new_cell, hidden = step(np, cell, inputs, cont)
        return float((cell_diff * new_cell).sum() + (hidden_diff * hidden).sum())

    gates, new_cell, _ = step(np, cell, inputs, cont)
    input_gradient, cell_gradient = step_backward(np, cell, gates, new_cell, cell_diff, hidden_diff)
    for array, gradient in ((inputs, input_gradient), (cell, cell_gradient)):
        for index in np.ndindex(array.shape):
            value = array[index]
            array[index] = value + STEP
            above = objective()
            array[index] = value - STEP
            slope = (above - objective()) / (2 * STEP)
            array[index] = value
            assert abs(slope - gradient[index]) < TOLERANCE


def test_rows_merges_time_and_batch() -> None:
    assert rows(np.zeros((3, 2, 5))).shape == (6, 5)
