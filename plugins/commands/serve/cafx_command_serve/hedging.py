"""Hedged answers: less specific, but more likely right, by an is-a tree of the classes.

A node's probability is the sum of those of the classes below it, its information gain the bits by which it narrows
the classes down. The best answer has the greatest (gain + λ)·probability; λ = 0 maximises the expected information,
a larger λ is right more often.

Source: Deng, Krause, Berg and Fei-Fei, "Hedging Your Bets: Optimizing Accuracy-Specificity Trade-offs in Large Scale
Visual Recognition", 2012 (algorithm DARTS).
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel import CafxError
from cafx.kernel.files import read_file, shown

Array = npt.NDArray[Any]
MOST_BYTES, MOST_NODES, MOST_CELLS = 64 << 20, 200_000, 1 << 28
MOST_GATHERED = 1 << 22
"""Probabilities of classes that are gathered at a time, to be added up per node."""
STEPS = 40
"""Bisections of λ."""
SHIPPED = {"cifar10": Path(__file__).with_name("data") / "cifar10.tsv"}
NAMED = 5


@attrs.frozen
class Answer:
    """A node of the tree as an answer.

    Attributes:
        node, name: the node.
        probability: that it is right.
        bits: what it says.
    """

    node: str
    name: str
    probability: float
    bits: float


@attrs.frozen(eq=False)
class Tree:
    """An is-a tree of the classes of a net; a node may have several parents.

    Attributes:
        nodes, names: the nodes above at least one class, and the classes.
        covers: which classes are below each node, nodes×classes.
        gains: information gain of each node, in bits.
    """

    nodes: tuple[str, ...]
    names: tuple[str, ...]
    covers: npt.NDArray[np.bool_]
    gains: npt.NDArray[np.float64]
    _below: Array = attrs.field(init=False, repr=False)
    _starts: Array = attrs.field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        nodes, classes = self.covers.nonzero()  # the classes of one node after those of another
        object.__setattr__(self, "_below", classes)
        object.__setattr__(self, "_starts", nodes.searchsorted(np.arange(len(self.covers))))

    def probabilities(self, classes: Array) -> Array:
        """The probability of each node, from those of the classes: …×classes to …×nodes.

        Example:
            >>> tree = read_tree("cifar10", "airplane automobile bird cat deer dog frog horse ship truck".split())
            >>> likely = dict(zip(tree.nodes, tree.probabilities(np.eye(10)[3] * 0.6 + np.eye(10)[5] * 0.4)))
            >>> round(float(likely["carnivore"]), 6), round(float(likely["cat"]), 6)
            (1.0, 0.6)
        """
        given = np.asarray(classes, np.float64)
        images = given.reshape(-1, given.shape[-1])
        found = np.empty((len(images), len(self.covers)))
        rows = max(1, MOST_GATHERED // self._below.size)
        for start in range(0, len(images), rows):
            part = slice(start, start + rows)
            np.add.reduceat(images[part, self._below], self._starts, axis=1, out=found[part])
        return np.minimum(found, 1.0).reshape(*given.shape[:-1], -1)

    def ranked(self, classes: Array, trade: float, top: int) -> list[Answer]:
        """The best answers for the probabilities of the classes of one image.

        Args:
            classes: the probabilities.
            trade: λ, how much being right counts beside saying much.
            top: number of answers.
        """
        likely = self.probabilities(classes)
        order = np.lexsort((-self.gains, -(self.gains + trade) * likely))[:top]
        return [Answer(self.nodes[n], self.names[n], float(likely[n]), float(self.gains[n])) for n in order]

    def accuracy(self, classes: Array, truth: Array, trade: float) -> tuple[float, float]:
        """The share of right answers among images, and the mean gain of their answers where they are right.

        Args:
            classes: images×classes probabilities.
            truth: the class of each image.
            trade: λ.
        """
        return self._accuracy(self.probabilities(classes), truth, trade)

    def _accuracy(self, likely: Array, truth: Array, trade: float) -> tuple[float, float]:
        chosen = ((self.gains + trade) * likely).argmax(1)
        right = self.covers[chosen, truth]
        return float(right.mean()), float((self.gains[chosen] * right).mean())

    def trade_for(self, classes: Array, truth: Array, target: float) -> float:
        """The least λ with which answers are right at least so often, by bisection.

        Args:
            classes: images×classes probabilities of validation images.
            truth: the class of each.
            target: the accuracy to reach, below 1.

        Raises:
            CafxError: no λ reaches it, since the net is certain of wrong answers.
        """
        likely = self.probabilities(classes)
        if self._accuracy(likely, truth, 0.0)[0] >= target:
            return 0.0
        low, high = 0.0, float(self.gains.max()) * target / (1 - target)
        reached = self._accuracy(likely, truth, high)[0]
        if reached < target:
            raise CafxError(
                "no trade-off reaches the target accuracy",
                found=f"{reached:.1%} at most",
                expected=f"{target:.1%}",
                remedy="lower --target-accuracy: the net is certain of some wrong answers",
            )
        for _ in range(STEPS):
            middle = (low + high) / 2
            if self._accuracy(likely, truth, middle)[0] >= target:
                high = middle
            else:
                low = middle
        return high


def softmax(scores: Array) -> Array:
    """Probabilities: the scores themselves, if they are such, else their softmax, along the last axis."""
    values = np.asarray(scores, np.float64)
    if (values >= 0).all() and np.allclose(values.sum(-1), 1, atol=1e-3):
        return values
    powers = np.exp(values - values.max(-1, keepdims=True))
    likely: Array = powers / powers.sum(-1, keepdims=True)
    return likely


def read_tree(source: str, labels: Sequence[str]) -> Tree:
    """The tree of a file, above the classes that a net knows.

    Args:
        source: the file: ``node``, its parents with commas between (none for a root) and its name in each line,
            separated by tabs; or ``cifar10``, which comes with this package.
        labels: the classes in order; a class's node is its label, or the label's first word.

    Raises:
        CafxError: the file is not such a tree, or lacks a class.
    """
    path = SHIPPED.get(source, Path(source))
    parents, names = _parsed(path)
    leaves = [label if label in parents else label.split(" ")[0].rstrip(",") for label in labels]
    missing = [label for label, leaf in zip(labels, leaves, strict=True) if leaf not in parents]
    if missing:
        more = f" and {len(missing) - NAMED} more" if len(missing) > NAMED else ""
        found = ", ".join(missing[:NAMED]) + more
        raise CafxError("the tree lacks classes of the net", where=shown(source), found=f"no {shown(found)}")
    above: dict[str, set[int]] = {}
    for number, leaf in enumerate(leaves):
        for node in _ancestors(leaf, parents, str(path)):
            above.setdefault(node, set()).add(number)
    if len(above) * len(labels) > MOST_CELLS:
        raise CafxError("the tree is too large", where=shown(source), found=f"{len(above)} nodes above the classes")
    nodes = tuple(sorted(above, key=lambda node: (-len(above[node]), node)))
    covers = np.zeros((len(nodes), len(labels)), bool)
    for row, node in enumerate(nodes):
        covers[row, sorted(above[node])] = True
    gains = np.log2(len(labels)) - np.log2(covers.sum(1))
    return Tree(nodes, tuple(names[node] for node in nodes), covers, gains)


def _parsed(path: Path) -> tuple[dict[str, list[str]], dict[str, str]]:
    """Parents and name of each node."""
    data = read_file(path, MOST_BYTES + 1)
    lines = data.decode("utf-8", "replace").splitlines()
    if len(data) > MOST_BYTES or len(lines) > MOST_NODES:
        raise CafxError("the tree is too large", where=shown(path), expected=f"at most {MOST_NODES} nodes")
    parents: dict[str, list[str]] = {}
    names: dict[str, str] = {}
    for number, line in enumerate(lines, start=1):
        if not line.strip() or line.startswith("#"):
            continue
        node, tab, rest = line.partition("\t")
        if not tab or not node or node in parents:
            what = "repeats a node" if node in parents else "is no line of an is-a tree"
            expected = "node, parents and name, separated by tabs"
            raise CafxError(what, where=f"{shown(path)}:{number}", found=shown(line[:80]), expected=expected)
        above, _, name = rest.partition("\t")
        parents[node] = [each for each in above.split(",") if each]
        names[node] = name.strip() or node
    unknown = next(((node, each) for node, above in parents.items() for each in above if each not in parents), None)
    if unknown:
        raise CafxError("the tree lacks a parent", where=shown(path), found=f"'{unknown[1]}' of '{unknown[0]}'")
    return parents, names


def _ancestors(leaf: str, parents: dict[str, list[str]], where: str) -> set[str]:
    """A node and all above it."""
    found: set[str] = set()
    waiting = [leaf]
    while waiting:
        node = waiting.pop()
        if node not in found:
            found.add(node)
            waiting += parents[node]
            if leaf in parents[node]:
                raise CafxError("the tree goes in circles", where=shown(where), found=f"'{leaf}' is above itself")
    return found
