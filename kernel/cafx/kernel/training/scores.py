"""What a test reports: the mean of each output over all batches, or what its layer makes of them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from cafx.kernel.net import Layer, Net

LOSS = "(loss)"


class Scores:
    """The outputs of a net over the batches of a test.

    Args:
        net: the net.
        options: the SolverParameter, for layers that make scores of their tops.
        with_loss: whether the mean of the objective is reported too, as "(loss)".

    Attributes:
        scorers: layers that make scores of their first top, by its name.

    Example:
        >>> from cafx.kernel import Net, schema
        >>> text = 'layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }'
        >>> net = Net(schema().parse_text(text, "NetParameter"))
        >>> scores = Scores(net, None)
        >>> for batch in ([1, 2], [3, 6]):
        ...     scores.add(net.forward(x=batch))
        >>> scores.result()["x"].tolist()
        [2.0, 4.0]
    """

    def __init__(self, net: Net, options: Any, *, with_loss: bool = False) -> None:
        self._net, self._options, self._with_loss = net, options, with_loss
        self._totals: dict[str, npt.NDArray[Any]] = {}
        self._kept: dict[str, list[npt.NDArray[Any]]] = {}
        self.scorers = {
            planned.tops[0].name: planned.layer
            for planned in net.program.plan.layers
            if type(planned.layer).test_scores is not Layer.test_scores
        }
        self.batches = 0

    def add(self, outputs: Mapping[str, npt.NDArray[Any]]) -> None:
        """Add the outputs of one batch, by name."""
        self.batches += 1
        loss = {LOSS: np.asarray(self._net.loss)} if self._with_loss else {}
        for name, value in {**outputs, **loss}.items():
            if name in self.scorers:
                self._kept.setdefault(name, []).append(np.array(value))
            else:
                self._totals[name] = self._totals.get(name, 0) + np.asarray(value, np.float64)

    def result(self) -> dict[str, npt.NDArray[Any]]:
        """The scores by name."""
        scores = {name: total / self.batches for name, total in self._totals.items()}
        for name, batches in self._kept.items():
            made = self.scorers[name].test_scores(batches, self._options)
            scores |= {label: np.asarray(value) for label, value in made.items()}
        return scores
