"""Which blocks of a page are examples, and that those that fail are reported with their line."""

from __future__ import annotations

from pathlib import Path

import pytest

from cafx_docs.examples import Outcome, fences, run_examples, run_page


def outcome(folder: Path, text: str) -> Outcome:
    page = folder / "page.md"
    page.write_text(text, "utf-8")
    return run_page(page)


@pytest.mark.parametrize("info", ["python", "py", "pycon", "{doctest}", "{code-block} python", "{code-block} pycon"])
def test_blocks_of_python_are_examples(info: str) -> None:
    [fence] = fences(f"Text\n\n```{info}\n>>> 1\n1\n```\n")
    assert (fence.line, fence.text, fence.is_session, fence.runs) == (4, ">>> 1\n1\n", True, True)


@pytest.mark.parametrize("info", ["", "text", "console", "pythonic", "{note}", "{code-block} text", "{code-block}"])
def test_other_blocks_are_not(info: str) -> None:
    assert list(fences(f"```{info}\n>>> 1\n2\n```\n")) == []


def test_blocks_within_tabs_and_notes_are_found_at_their_lines() -> None:
    tabs = [f":::{{tab-item}} {text[0]}\n```python\n{text}\n```\n:::\n" for text in (">>> 1\n1", "x = 1")]
    page = f"::::{{tab-set}}\n{''.join(tabs)}::::\n"
    assert [(fence.line, fence.is_session) for fence in fences(page)] == [(4, True), (10, False)]


def test_a_block_of_markdown_about_a_block_is_no_example() -> None:
    assert list(fences("````text\n```python\n>>> 1\n2\n```\n````\n")) == []


def test_blocks_share_their_names_and_files_with_captions_are_written(tmp_path: Path) -> None:
    page = """
```{code-block} python
:caption: ten.py

TEN = 10
```

```python
>>> import ten
>>> (ten.TEN, TEN, __name__)
(10, 10, '__main__')
>>> 1 / 0
Traceback (most recent call last):
ZeroDivisionError: …
```
"""
    assert outcome(tmp_path, page) == Outcome(tmp_path / "page.md", 4, "")
    assert sorted(tmp_path.iterdir()) == [tmp_path / "page.md"]


def test_a_wrong_output_is_reported_with_its_line(tmp_path: Path) -> None:
    failures = outcome(tmp_path, "Text\n\n```python\n>>> 1\n1\n>>> 1 + 1\n3\n```\n").failures
    assert "page.md" in failures
    assert "line 6" in failures
    assert "Expected:\n    3\nGot:\n    2\n" in failures


def test_a_block_that_raises_is_reported_with_its_line(tmp_path: Path) -> None:
    failures = outcome(tmp_path, "Text\n\n```python\nx = 1\nraise ValueError('no')\n```\n").failures
    assert "page.md:4" in failures
    assert "line 5" in failures
    assert "ValueError: no" in failures


def test_a_skipped_block_must_parse(tmp_path: Path) -> None:
    assert outcome(tmp_path, "```python skip\nraise ValueError\n```\n").failures == ""
    assert "SyntaxError" in outcome(tmp_path, "```python skip\nx = = 1\n```\n").failures


def test_pages_run_in_processes_of_their_own_in_their_order(tmp_path: Path) -> None:
    for name, value in (("a", 1), ("b", 2)):
        (tmp_path / f"{name}.md").write_text(
            f"```python\n>>> x\nTraceback (most recent call last):\nNameError: …\n>>> x = {value}\n```\n"
        )
    (tmp_path / "c.md").write_text("Nothing to run.\n")
    pages = sorted(tmp_path.glob("*.md"))
    assert run_examples(pages, jobs=1) == [Outcome(pages[0], 2, ""), Outcome(pages[1], 2, "")]


def test_a_page_that_ends_its_process_is_reported(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```python\nimport os\nos._exit(7)\n```\n", "utf-8")
    [outcome] = run_examples([page], jobs=1)
    assert outcome.failures.startswith(f"{page}: its process ended with exit code 7")
