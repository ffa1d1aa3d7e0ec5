"""``cafx explain``: every page is about errors that exist, and errors name their pages."""

from __future__ import annotations

import ast
import doctest
import functools
import json
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import click
import pytest

from cafx.cli import explanations, reporting
from cafx.cli.explanations import HOLE, find, matches, page_of, pages

Run = Callable[..., subprocess.CompletedProcess[str]]

ROOT = Path(__file__).parents[1]
SOURCES = ("kernel", "dsl", "cli", "plugins", "contrib")
LEAST_PAGES, LEAST_LETTERS = 40, 3
FOREIGN = {
    "E-usage": "messages of click",
    "E-disk-full": "messages of the operating system",
    "E-python-error": "messages of Python",
    "E-nothing-learned": "a warning of the solver is among its messages",
}
"""Pages that are also about messages which no source here contains, and whose they are."""
FREQUENT = {
    "InnerProductParameter has no field 'num_outputs'": "E-field",
    "unknown value 'AVG' of PoolingParameter.PoolMethod": "E-enum-value",
    "this } seems to be one too many": "E-braces",
    "layer 'loss' at line 10 seems not closed": "E-braces",
    "unknown filler 'constnt'": "E-filler",
    "cannot be read: No such file or directory": "E-no-such-file",
    "cannot be written: No space left on device": "E-disk-full",
    "the loss is not finite at iteration 1 (first non-finite blob: 'loss' of layer 'loss')": "E-not-finite",
    "out of memory; close other programs": "E-out-of-memory",
    "ZeroDivisionError: by zero (this is a bug; --debug shows where)": "E-bug",
    "engine 'cupy' cannot run here: no driver": "E-engine",
    "top blob 'x' is the top of more than one layer": "E-duplicate-top",
    "plugin 'x' of cafx-x 1.0: it fails": "E-broken-plugin",
}


@functools.cache
def texts() -> frozenset[str]:
    """The texts in the sources, with `HOLE` for what is filled in."""
    return frozenset(text for folder in SOURCES for path in (ROOT / folder).rglob("*.py") for text in texts_of(path))


def texts_of(path: Path) -> Iterator[str]:
    """The texts in one source that is no test."""
    if path.name.startswith("test_") or "tests" in path.parts:
        return
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(part.value if isinstance(part, ast.Constant) else HOLE for part in node.values)


@functools.cache
def forms() -> list[re.Pattern[str]]:
    """The texts with something to fill in, as patterns; those that are hardly more than that are left out."""
    said = (text for text in texts() if HOLE in text and len(text.replace(HOLE, "").strip()) > LEAST_LETTERS)
    return [re.compile(".*".join(map(re.escape, text.split(HOLE))), re.DOTALL) for text in said]


def is_said(message: str) -> bool:
    """Whether a source says such a message."""
    return (
        message in texts()
        or any(matches(message, text) for text in texts())
        or any(form.fullmatch(message) for form in forms())
    )


def test_there_are_pages_about_the_most_frequent_mistakes() -> None:
    assert len(pages()) >= LEAST_PAGES
    assert all(re.fullmatch(r"E-[a-z0-9-]+", name) for name in pages())


@pytest.mark.slow
@pytest.mark.parametrize("name", pages())
def test_a_page_is_about_errors_that_exist_and_is_found_by_them(name: str) -> None:
    page = pages()[name]
    unsaid = [message for message in page.messages if not is_said(message)]
    assert not unsaid or name in FOREIGN, f"no source says {unsaid}"
    assert page_of(page.messages[0].replace(HOLE, "x")) == name
    assert find(name)[0] == page


@pytest.mark.parametrize(("message", "name"), FREQUENT.items())
def test_frequent_mistakes_have_their_page(message: str, name: str) -> None:
    assert page_of(message) == name


def test_a_made_up_message_is_said_by_no_source() -> None:
    assert not is_said("the moon is not made of cheese")


def test_usage_errors_have_a_page() -> None:
    for error in (click.NoSuchOption("--x"), click.MissingParameter(param_hint="'FILE'", param_type="argument")):
        assert reporting.identify(error) == "E-usage"


@pytest.mark.parametrize("module", [explanations, reporting])
def test_examples_in_docstrings_run(module: object) -> None:
    results = doctest.testmod(module)  # type: ignore[arg-type]
    assert (results.failed, results.attempted > 0) == (0, True)


@pytest.mark.slow
def test_errors_end_with_the_id_of_their_page_and_json_has_it(cafx: Run, folder: Path) -> None:
    path = folder / "net.prototxt"
    path.write_text(path.read_text().replace("ReLU", "RelU"))
    assert cafx("net", "net.prototxt", code=1).stderr.endswith(" [E-layer-type]\n")
    assert json.loads(cafx("net", "net.prototxt", "--json", code=1).stderr)["error"]["id"] == "E-layer-type"


@pytest.mark.slow
def test_explaining_by_id_message_and_words(cafx: Run) -> None:
    line = "error: n.prototxt:3: layer 'x' (Foo): unknown layer type 'Foo'; did you mean 'Fou'? [E-layer-type]"
    for words in (
        ["E-layer-type"],
        ["unknown", "layer", "type", "'X'"],
        [line],
        [line.removesuffix(" [E-layer-type]")],
    ):
        output = cafx("explain", *words).stdout
        assert output.startswith("# A layer type that no installed plugin provides [E-layer-type]\n")
    assert "E-label" in cafx("explain", "num_output").stdout
    assert cafx("explain", "labl").stdout.startswith("E-label ")
    assert len(cafx("explain").stdout.splitlines()) == len(pages())


@pytest.mark.slow
def test_what_has_no_explanation_is_an_error(cafx: Run) -> None:
    assert "'cafx explain' lists all" in cafx("explain", "xyzzy plugh", code=1).stderr
    assert json.loads(cafx("explain", "E-gpu", "--json").stdout)[0]["id"] == "E-gpu"
