"""Cases for the conformance suite, shared by RNN and LSTM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cafx.conformance import Case


def recurrent_cases(states: int) -> Iterable[Case]:
    """Sequences with random starts, with and without static input and exposed hidden states.

    Args:
        states: number of hidden states of the layer.
    """
    from cafx.conformance import Case, labels

    gaussian = {"type": "gaussian", "std": 0.5}
    options = {"num_output": 3, "weight_filler": gaussian, "bias_filler": gaussian}
    exposed = {"expose_hidden": True, "debug_info": True, **options}
    sequence, hidden = ((3, 2, 3), labels((3, 2), 2)), [(1, 2, 3)] * states
    yield Case("plain", (4, 2, 3), labels((4, 2), 2), options=options)
    yield Case("images", (3, 2, 2, 3), labels((3, 2), 2), options=options)
    yield Case("static", *sequence, (2, 5), options=options)
    yield Case("exposed", *sequence, *hidden, options=exposed, tops=1 + states)
    yield Case("exposed_static", *sequence, (2, 2, 2), *hidden, options=exposed, tops=1 + states)
