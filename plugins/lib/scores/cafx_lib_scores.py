"""Net outputs and test scores, given as arrays by name: flattened for logs, formatted for people."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

MAX_SHOWN = 10
"""Number of values of an array that `format_values` prints."""


def flatten(scores: Mapping[str, npt.ArrayLike], indexed: str = "{name}") -> list[tuple[str, float]]:
    """Every single value with its name, arrays in C order.

    Args:
        scores: arrays (or numbers) by name.
        indexed: format of the name of one value of an array that has several; it may use
            ``{name}`` and ``{index}``.

    >>> flatten({"loss": 0.5, "accuracy": [0.25, 1.0]}, "{name}[{index}]")
    [('loss', 0.5), ('accuracy[0]', 0.25), ('accuracy[1]', 1.0)]
    """
    rows: list[tuple[str, float]] = []
    for name, value in scores.items():
        values = np.asarray(value).reshape(-1)
        several = values.size > 1
        rows += [
            (indexed.format(name=name, index=index) if several else name, float(each))
            for index, each in enumerate(values)
        ]
    return rows


def format_values(values: npt.ArrayLike) -> str:
    """A number with four significant digits, or the first `MAX_SHOWN` values of an array.

    >>> format_values(0.123456)
    '0.1235'
    >>> format_values([0.5, 0.25])
    '[0.5, 0.25]'
    """
    flat = np.asarray(values).reshape(-1)
    texts = [f"{float(each):.4g}" for each in flat[:MAX_SHOWN]]
    if flat.size == 1:
        return texts[0]
    if flat.size > MAX_SHOWN:
        texts.append(f"… {flat.size:,} values")
    return f"[{', '.join(texts)}]"


def format_weighted(name: str, value: float, loss_weight: float) -> str:
    """An output as Caffe logs it, with its weighted loss if it contributes to the objective.

    >>> format_weighted("accuracy", 0.5, 0.0)
    'accuracy = 0.5'
    >>> format_weighted("loss", 0.5, 2.0)
    'loss = 0.5 (* 2 = 1 loss)'
    """
    text = f"{name} = {value:g}"
    return f"{text} (* {loss_weight:g} = {loss_weight * value:g} loss)" if loss_weight else text
