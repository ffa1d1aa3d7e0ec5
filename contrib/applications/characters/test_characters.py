"""Characters: program and prototxt agree; the streams continue each other; the LSTM beats counting."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

UNIFORM = np.log2(97)


def test_the_program_emits_the_prototxt(application: Any) -> None:
    application.emits("net.py", "train_test.prototxt", "solver.prototxt")


def test_a_batch_continues_the_one_before(application: Any) -> None:
    code = """
import data, numpy as np
rows = data.rows(np.arange(2 * 10 * data.STEPS + 5), "test")
before, after, cont = rows["character"], rows["next_character"], rows["cont"]
assert before.shape == (2 * data.STEPS, 10)
assert (after == before + 1).all() and (np.diff(before, axis=0) == 1).all()
assert not cont[0].any() and cont[1:].all()
assert data.decoded(data.encoded("# A µ\\n")) == "# A " + data.OTHER + "\\n"
"""
    application.python("-c", code)


def test_counting_knows_a_text_that_repeats(application: Any) -> None:
    code = """
import ngrams, numpy as np
text = np.tile([0, 1, 0, 2], 500)
print([ngrams.bits(text, text[:400], context, 4) for context in (0, 1, 2)])
"""
    none, one, two = json.loads(application.python("-c", code))
    assert none == pytest.approx(1.5, abs=0.02)  # p = 1/2, 1/4, 1/4
    assert one == pytest.approx(0.5, abs=0.02)  # after 0, 1 or 2; after 1 and 2, 0
    assert two < 0.1


@pytest.mark.slow
def test_a_miniature_learns_to_predict(application: Any) -> None:
    figures = application.figures("--small")
    assert figures["bits per character, LSTM"] < figures["bits per character, 0 before"] < UNIFORM
    application.has_picture("characters.png")


@pytest.mark.long
def test_the_figures_of_the_readme(application: Any) -> None:
    figures = application.figures()
    assert figures["bits per character, LSTM"] < figures["bits per character, 2 before"]
    application.has_picture("characters.png")
