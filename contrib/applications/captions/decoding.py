"""Sentences from a net that gives a probability per word: greedy and beam search."""

from collections.abc import Callable

import numpy as np

from cafx_applications.sequences import States

SMALLEST = 1e-30
Step = Callable[[np.ndarray, States], tuple[np.ndarray, States]]


def beam_search(
    step: Step, states: States, count: int, *, width: int, length: int, end: int
) -> tuple[np.ndarray, np.ndarray]:
    """The most probable sentences that a beam of some width finds; width 1 is greedy search.

    Args:
        step: from the words before (count · width) and the states (1 × count · width × H) to the words'
            probabilities (count · width × words) and the states.
        states: those before the first step.
        count: number of pictures, each with a beam of its own.
        width: sentences that are kept per picture.
        length: longest sentence.
        end: the word that ends a sentence, and that is read before the first.

    Returns:
        The sentences, count × width × length, best first, and the logarithm of each one's probability.
    """
    sentences = np.full((count, width, length), end)
    scores = np.full((count, width), -np.inf)
    scores[:, 0] = 0  # all beams are equal before the first word: only one of them counts
    ended = np.zeros((count, width), bool)
    words = np.full(count * width, end)
    for position in range(length):
        probabilities, states = step(words, states)
        gains = np.log(np.maximum(probabilities, SMALLEST)).reshape(count, width, -1)
        gains[ended] = -np.inf
        gains[ended, end] = 0
        totals = (scores[:, :, None] + gains).reshape(count, -1)
        best = np.argsort(-totals, axis=1, kind="stable")[:, :width]
        scores = np.take_along_axis(totals, best, 1)
        parents, chosen = np.divmod(best, gains.shape[-1])
        sentences = np.take_along_axis(sentences, parents[:, :, None], 1)
        sentences[:, :, position] = chosen
        ended = np.take_along_axis(ended, parents, 1) | (chosen == end)
        rows = (np.arange(count)[:, None] * width + parents).reshape(-1)
        states = {name: values[:, rows] for name, values in states.items()}
        words = chosen.reshape(-1)
    return sentences, scores
