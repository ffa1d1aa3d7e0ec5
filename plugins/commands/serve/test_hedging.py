"""Hedged answers: the tree, the order of answers, the trade-off found by bisection, and trees made from WordNet."""

from __future__ import annotations

import doctest
import subprocess
import sys
import tracemalloc
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import cafx_command_serve.fetching
import cafx_command_serve.hedging
import cafx_command_serve.limits
import cafx_command_serve.metrics
import cafx_command_serve.page
from cafx.kernel import CafxError
from cafx_command_serve.hedging import Tree, read_tree, softmax

CIFAR = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]
CAT, DOG = 3, 5


def one(**likely: float) -> np.ndarray:
    """Probabilities of CIFAR-10's classes; the rest is spread."""
    values = np.full(10, (1 - sum(likely.values())) / (10 - len(likely)))
    for name, value in likely.items():
        values[CIFAR.index(name)] = value
    return values


def test_nodes_sum_their_classes_and_gain_what_they_rule_out() -> None:
    tree = read_tree("cifar10", CIFAR)
    likely = dict(zip(tree.nodes, tree.probabilities(one(cat=0.5, dog=0.3)), strict=True))
    gains = dict(zip(tree.nodes, tree.gains, strict=True))
    assert likely["carnivore"] == pytest.approx(0.8)
    assert likely["thing"] == pytest.approx(1)
    assert likely["mammal"] == pytest.approx(0.8 + 2 * 0.2 / 8)
    assert gains["thing"] == 0
    assert gains["cat"] == pytest.approx(np.log2(10))
    assert gains["carnivore"] == pytest.approx(np.log2(10 / 2))
    assert gains["animal"] == pytest.approx(np.log2(10 / 6))


@given(st.integers(0, 999), st.integers(1, 40), st.sampled_from([(), (3,), (2, 3)]), st.sampled_from([1, 1 << 20]))
@settings(deadline=None, max_examples=40)
def test_probabilities_are_those_of_a_product_with_the_classes_below(
    seed: int, classes: int, images: tuple[int, ...], gathered: int
) -> None:
    rng = np.random.default_rng(seed)
    covers = np.vstack([np.ones((1, classes), bool), rng.random((5, classes)) < 0.5, np.eye(classes, dtype=bool)])
    covers = covers[covers.any(axis=1)]
    names = tuple(map(str, range(len(covers))))
    likely = rng.dirichlet(np.ones(classes), images)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(cafx_command_serve.hedging, "MOST_GATHERED", gathered)
        found = Tree(names, names, covers, np.zeros(len(covers))).probabilities(likely)
    np.testing.assert_allclose(found, np.minimum(likely @ covers.T, 1), atol=1e-12)


@pytest.mark.slow
def test_a_tree_of_ten_thousand_classes_needs_no_matrix_of_nodes_and_classes_per_answer(tmp_path: Path) -> None:
    numbers = [f"{number:04}" for number in range(10_000)]
    nodes = ["?", *(f"{number:0{length}}" for length in (1, 2, 3) for number in range(10**length))]
    lines = [f"{node}\t{'' if node == '?' else node[:-1] or '?'}\n" for node in (*nodes, *numbers)]
    (tmp_path / "tree.tsv").write_text("".join(lines))
    tree = read_tree(str(tmp_path / "tree.tsv"), numbers)
    likely = np.zeros((20, 10_000))
    likely[:, 1230:1240] = 0.1
    tracemalloc.start()
    try:
        trade = tree.trade_for(likely, np.full(20, 1234), 0.9)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert tree.ranked(likely[0], trade, 1)[0].node == "123"
    assert peak < tree.covers.nbytes


@pytest.mark.parametrize(
    ("likely", "trade", "best"),
    [
        ({"cat": 0.9}, 0.0, "cat"),
        ({"cat": 0.45, "dog": 0.45}, 0.0, "carnivore"),
        ({"cat": 0.45, "dog": 0.45}, 100.0, "thing"),
        ({"deer": 0.24, "horse": 0.24, "cat": 0.24, "dog": 0.24}, 0.0, "mammal"),
    ],
)
def test_the_first_answer_has_the_greatest_reward(likely: dict[str, float], trade: float, best: str) -> None:
    tree = read_tree("cifar10", CIFAR)
    assert tree.ranked(one(**likely), trade, 5)[0].node == best


@given(st.integers(0, 999), st.floats(0.05, 0.99))
@settings(deadline=None, max_examples=40)
def test_bisection_reaches_the_target_with_the_least_trade_off(seed: int, target: float) -> None:
    rng, tree = np.random.default_rng(seed), read_tree("cifar10", CIFAR)
    truth = rng.integers(0, 10, 200)
    scores = rng.normal(size=(200, 10))
    scores[np.arange(200), truth] += 1.5
    likely = softmax(scores)
    trade = tree.trade_for(likely, truth, target)
    assert tree.accuracy(likely, truth, trade)[0] >= target
    assert trade == 0 or tree.accuracy(likely, truth, trade * 0.999)[0] < target


def test_more_hedging_is_right_more_often_and_says_less() -> None:
    rng, tree = np.random.default_rng(0), read_tree("cifar10", CIFAR)
    truth = rng.integers(0, 10, 500)
    scores = rng.normal(size=(500, 10))
    scores[np.arange(500), truth] += 2
    found = [tree.accuracy(softmax(scores), truth, trade) for trade in (0, 1, 3, 30, 1000)]
    assert [right for right, _ in found] == sorted(right for right, _ in found)
    assert found[-1] == (1.0, 0.0)
    assert found[0][1] == max(bits for _, bits in found)


def test_certainty_of_wrong_answers_is_told() -> None:
    tree = read_tree("cifar10", CIFAR)
    with pytest.raises(CafxError, match=r"no trade-off reaches the target accuracy: got 0\.0% at most"):
        tree.trade_for(np.eye(10)[[CAT, CAT]], np.array([DOG, DOG]), 0.5)


def test_scores_that_are_probabilities_stay_as_they_are() -> None:
    assert softmax(np.array([0.25, 0.75])).tolist() == [0.25, 0.75]
    np.testing.assert_allclose(softmax(np.array([1000.0, 1000.0])), [0.5, 0.5])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a\t\tx\n", "lacks classes of the net: got no b"),
        ("a\tc\tx\nb\t\t\n", "lacks a parent: got 'c' of 'a'"),
        ("a\tb\tx\nb\ta\t\n", "goes in circles"),
        ("a\t\tx\na\t\tx\n", ":2: repeats a node"),
        ("nonsense\n", ":1: is no line of an is-a tree"),
        ("\x1b[2J\n", r":1: is no line of an is-a tree: got \\x1b\[2J"),
    ],
)
def test_a_bad_tree_is_told(text: str, message: str, tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text(text)
    with pytest.raises(CafxError, match=message):
        read_tree(str(tmp_path / "t.tsv"), ["a", "b"])


def test_a_class_with_two_parents_counts_once(tmp_path: Path) -> None:
    (tmp_path / "t.tsv").write_text("top\t\t\nl\ttop\t\nr\ttop\t\na b\tl,r\t\nc\tr\t\n")
    tree = read_tree(str(tmp_path / "t.tsv"), ["a b", "c"])
    likely = dict(zip(tree.nodes, tree.probabilities(np.array([0.7, 0.3])), strict=True))
    assert likely == {"r": pytest.approx(1), "top": pytest.approx(1), "a b": 0.7, "l": 0.7, "c": 0.3}


NOUNS = """  1 This software and database is being provided to you, the LICENSEE, by
  2 Princeton University under the following license.
00001740 03 n 01 entity 0 001 ~ 00001930 n 0000 | that which exists
00001930 03 n 01 physical_entity 0 002 @ 00001740 n 0000 ~ 00015388 n 0000 | an entity that has physical existence
00015388 03 n 02 animal 0 animate_being 0 002 @ 00001930 n 0000 ~ 02121620 n 0000 | a living organism
02121620 05 n 02 cat 0 true_cat 0 002 @ 00015388 n 0000 #m 00015388 n 0000 | feline mammal
02084071 05 n 03 dog 0 domestic_dog 0 Canis_familiaris 0 002 @ 00015388 n 0000 + 00015388 v 0101 | a member
09999999 18 n 01 Garfield 0 001 @i 02121620 n 0000 | a cat of comics
"""
WORDS = "n02121620 cat, true cat\nn02084071 dog, domestic dog\n"


@pytest.fixture
def wordnet(tmp_path: Path) -> Path:
    (tmp_path / "data.noun").write_text(NOUNS)
    (tmp_path / "synset_words.txt").write_text(WORDS)
    return tmp_path


def run(*arguments: str, code: int = 0) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "cafx_command_serve.wordnet", *arguments]
    result = subprocess.run(command, text=True, capture_output=True, timeout=60, check=False)
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


@pytest.mark.slow
def test_a_tree_is_made_from_wordnet_s_files(wordnet: Path) -> None:
    made = run(str(wordnet), str(wordnet / "synset_words.txt")).stdout
    assert "Garfield" not in made
    (wordnet / "tree.tsv").write_text(made)
    tree = read_tree(str(wordnet / "tree.tsv"), WORDS.splitlines())
    assert set(tree.nodes) == {"n00001740", "n00001930", "n00015388", "n02121620", "n02084071"}
    assert dict(zip(tree.nodes, tree.names, strict=True))["n00015388"] == "animal, animate being"
    assert tree.gains.tolist() == [0, 0, 0, 1, 1]


@pytest.mark.slow
def test_proper_names_are_instances_of_nouns(wordnet: Path) -> None:
    (wordnet / "synset_words.txt").write_text("n09999999 Garfield\n")
    assert "n09999999\tn02121620\tGarfield" in run(str(wordnet), str(wordnet / "synset_words.txt")).stdout


@pytest.mark.slow
@pytest.mark.parametrize(
    ("nouns", "words", "message"),
    [
        ("00001740 03 n zz entity\n", WORDS, "data.noun:1: is no synset"),
        ("00001740 03 n 01 entity 0 002 @ 00001930 n 0000 | x\n", WORDS, "data.noun:1: is no synset"),
        (NOUNS, "n12345678 cat\n", "WordNet has no such synset: got n12345678"),
        ("", WORDS, "has no synsets"),
    ],
)
def test_files_that_are_not_wordnet_s_are_told(nouns: str, words: str, message: str, wordnet: Path) -> None:
    (wordnet / "data.noun").write_text(nouns)
    (wordnet / "synset_words.txt").write_text(words)
    assert message in run(str(wordnet), str(wordnet / "synset_words.txt"), code=1).stderr
    assert "usage" in run(code=2).stderr


def test_examples_run() -> None:
    for module in ("fetching", "hedging", "limits", "metrics", "page"):
        failed, attempted = doctest.testmod(getattr(cafx_command_serve, module))
        assert attempted
        assert not failed
