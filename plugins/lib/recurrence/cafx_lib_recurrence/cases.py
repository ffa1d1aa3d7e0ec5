"""On what the conformance suite tries RNN and LSTM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from cafx.conformance import Case


def recurrent_cases(states: int) -> Iterable[Case]:
    """Sequences that begin anywhere, with and without static input and exposed states.

    Args:
        states: how many hidden states the layer has.
    """
    from cafx.conformance import Case, labels

    drawn = {"type": "gaussian", "std": 0.5}
    options = {"num_output": 3, "weight_filler": drawn, "bias_filler": drawn}
    exposed = {"expose_hidden": True, "debug_info": True, **options}
    read, hidden = ((3, 2, 3), labels((3, 2), 2)), [(1, 2, 3)] * states
    yield Case("plain", (4, 2, 3), labels((4, 2), 2), options=options)
    yield Case("images", (3, 2, 2, 3), labels((3, 2), 2), options=options)
    yield Case("static", *read, (2, 5), options=options)
    yield Case("exposed", *read, *hidden, options=exposed, tops=1 + states)
    yield Case("exposed_static", *read, (2, 2, 2), *hidden, options=exposed, tops=1 + states)
