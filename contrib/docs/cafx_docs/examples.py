"""The examples in pages: Python blocks run, and those with ``>>>`` print what they say.

A page's examples share their names, as in one session, and run in a fresh process, in an empty folder. A block with a
caption is also written to a file of that name. A block with ``skip`` after its language only has to parse.
"""

from __future__ import annotations

import concurrent.futures
import contextlib
import doctest
import io
import json
import os
import re
import subprocess
import sys
import tempfile
import textwrap
import traceback
import types
from collections.abc import Iterable, Iterator
from pathlib import Path

import attrs

FENCE = re.compile(
    r"^(?P<indent> *)(?P<ticks>`{3,}|:{3,})(?P<info>[^`\n]*)\n(?P<body>.*?)^(?P=indent)(?P=ticks) *$", re.M | re.S
)
INFO = re.compile(
    r"(?:python|pycon|py)(?P<skip> +skip)?|\{(?:doctest|code-block|code|sourcecode)\} *(?:python|pycon|py)?"
)
BARE = re.compile(r"\{(?:code-block|code|sourcecode)\}")
OPTION = re.compile(r"\A(?:[ \t]*:(?P<name>[\w-]+):[ \t]*(?P<value>.*)\n)")
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


@attrs.frozen
class Fence:
    """A fenced block of Python.

    Attributes:
        line: number of its first line in the page, counted from 1.
        text: its contents; options of its directive are blank lines.
        file: the file it is to be written to; None for none.
        runs: whether it is run.
    """

    line: int
    text: str
    file: str | None = None
    runs: bool = True

    @property
    def is_session(self) -> bool:
        """Whether it shows what a Python session prints."""
        return bool(re.search(r"(?m)^>>> ", self.text))


@attrs.frozen
class Outcome:
    """What running a page's examples gave.

    Attributes:
        page: the page.
        attempted: the number of examples.
        failures: for each that failed, what doctest says.
    """

    page: Path
    attempted: int
    failures: str


def fences(text: str) -> Iterator[Fence]:
    """The blocks of Python in a Markdown page.

    >>> [fence.line for fence in fences("Text\\n\\n```python\\n>>> 1\\n1\\n```\\n")]
    [4]
    """
    for match in FENCE.finditer(text):
        kind = INFO.fullmatch(match["info"].strip())
        line = text.count("\n", 0, match.start("body")) + 1
        if kind is None or BARE.fullmatch(kind[0]):
            yield from _nested(match, line)
        else:
            yield _fence(line, textwrap.dedent(match["body"]), runs=not kind["skip"])


def _fence(line: int, text: str, runs: bool) -> Fence:
    """A block without the options of its directive, which become blank lines."""
    file, blank = None, ""
    while match := OPTION.match(text):
        file = match["value"].strip() if match["name"] == "caption" else file
        text, blank = text[match.end() :], f"{blank}\n"
    return Fence(line, blank + text, file, runs)


def _nested(outer: re.Match[str], line: int) -> Iterator[Fence]:
    """The blocks within a directive such as a tab or a note."""
    if outer["info"].strip().startswith("{"):
        for fence in fences(outer["body"]):
            yield attrs.evolve(fence, line=fence.line + line - 1)


def run_examples(pages: Iterable[Path], jobs: int = 2) -> list[Outcome]:
    """Run the examples of several pages, each page in a process of its own.

    Args:
        pages: Markdown files.
        jobs: how many at a time.
    """
    with_python = [page for page in pages if list(fences(page.read_text("utf-8")))]
    with concurrent.futures.ThreadPoolExecutor(jobs) as pool:
        try:
            return list(pool.map(_run_in_process, with_python))
        except KeyboardInterrupt:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _run_in_process(page: Path) -> Outcome:
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder) / "result.json"
        command = [sys.executable, "-c", f"from {__name__} import save; save()", str(page), str(result)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
        if not result.is_file():
            return Outcome(page, 0, f"{page}: its process ended with exit code {done.returncode}\n{done.stderr}")
        attempted, failures = json.loads(result.read_text("utf-8"))
    return Outcome(page, attempted, failures)


def save() -> None:
    """Run the page named by the first argument, and write what it gave to the file named by the second."""
    page, result = map(Path, sys.argv[1:])
    outcome = run_page(page.absolute())
    result.write_text(json.dumps([outcome.attempted, outcome.failures]), "utf-8")


def run_page(page: Path) -> Outcome:
    """Run the examples of one page.

    Args:
        page: a Markdown file.

    Returns:
        The number of examples, and what went wrong.
    """
    session = Session(page)
    with _in_empty_folder():
        for fence in fences(page.read_text("utf-8")):
            session.run(fence)
    return Outcome(page, session.attempted, session.report.getvalue())


class Checker(doctest.OutputChecker):
    """Compares what an example prints with what the page says, where ``…`` too stands for anything."""

    def check_output(self, want: str, got: str, optionflags: int) -> bool:
        """Whether they are the same."""
        return super().check_output(want, got, optionflags) or super().check_output(
            want.replace("…", doctest.ELLIPSIS_MARKER), got, optionflags
        )


class Session:
    """The examples of a page, one after another.

    Args:
        page: the page.

    Attributes:
        attempted: the number of examples so far.
        report: what went wrong.
    """

    def __init__(self, page: Path) -> None:
        self.page, self.report, self.attempted = page, io.StringIO(), 0
        module = types.ModuleType("__main__")
        sys.modules["__main__"] = module
        self.names = vars(module)
        self._runner = doctest.DocTestRunner(Checker(), verbose=False, optionflags=OPTIONS)

    def run(self, fence: Fence) -> None:
        """Run one block."""
        if fence.file and fence.runs and not fence.is_session:
            path = Path(Path(fence.file).name)
            path.write_text(fence.text.lstrip("\n"), "utf-8")
        if fence.is_session:
            self._run_session(fence)
        else:
            self._run_code(fence)

    def _run_session(self, fence: Fence) -> None:
        test = doctest.DocTestParser().get_doctest(
            fence.text, self.names, self.page.name, str(self.page), fence.line - 1
        )
        test.globs = self.names
        before = self._runner.tries
        self._runner.run(test, out=self.report.write, clear_globs=False)
        self.attempted += self._runner.tries - before

    def _run_code(self, fence: Fence) -> None:
        self.attempted += fence.runs
        try:
            code = compile("\n" * (fence.line - 1) + fence.text, str(self.page), "exec")
            if fence.runs:
                with contextlib.redirect_stdout(io.StringIO()):
                    exec(code, self.names)
        except Exception:  # noqa: BLE001 - whatever an example raises is reported
            self.report.write(f"{self.page}:{fence.line}: this block fails:\n{traceback.format_exc()}\n")


@contextlib.contextmanager
def _in_empty_folder() -> Iterator[None]:
    os.environ.setdefault("MPLBACKEND", "agg")
    before = Path.cwd()
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        sys.path.insert(0, folder)
        try:
            yield
        finally:
            sys.path.remove(folder)
            os.chdir(before)
