"""What to compare with: the next character by how often it followed the few characters before."""

from collections import Counter

import numpy as np

WEIGHT = 3.0
"""Of the shorter context, in occurrences."""


def bits(train: np.ndarray, held: np.ndarray, context: int, characters: int) -> float:
    """Bits per character of a held text.

    p(c | context) = (n(context, c) + w p(c | shorter context)) / (n(context) + w), and 1 / characters without any
    context or count.

    Args:
        train, held: texts as numbers.
        context: number of characters before that are looked at.
        characters: size of the alphabet.
    """
    probability = np.full(len(held), 1 / characters)
    for length in range(context + 1):
        pairs, contexts = counts(train, length)
        for position in range(length, len(held)):
            before = tuple(held[position - length : position].tolist())
            seen = pairs[before, int(held[position])]
            probability[position] = (seen + WEIGHT * probability[position]) / (contexts[before] + WEIGHT)
    return float(-np.log2(probability).mean())


def counts(text: np.ndarray, length: int) -> tuple[Counter, Counter]:
    """How often each character followed each context of a length, and how often there was that context."""
    numbers = text.tolist()
    befores = [tuple(numbers[end - length : end]) for end in range(length, len(numbers))]
    return Counter(zip(befores, numbers[length:], strict=True)), Counter(befores)
