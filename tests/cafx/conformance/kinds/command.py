"""The checklist of commands.

>>> from cafx.conformance import plugin_suite
>>> TestWeights = plugin_suite("command", "weights")
"""

from __future__ import annotations

import contextlib
import errno
import fnmatch
import json
import re
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import attrs
import click

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.kinds.runs import Outcome, files_of, interrupted_run, points_of, run_command, unread
from cafx.conformance.suite import AnyCase, CheckFailure, Subject, check

KIND = "command"
FAILURES = (1, 2)
"""Exit codes of an error: of a file or a value, and of the command line."""
UNKNOWN = "--no-such-option"
JSON = "--json"
DAMAGE = b"\x00\xff\x01 neither text nor an image \xfe" * 8
ERROR_LINE = re.compile(r"(?mi)^error: .")


@attrs.frozen
class CommandCase:
    """One run of a command that succeeds.

    Args:
        name: a short name, unique among the command's cases.
        arguments: the command line after the command's name; paths are relative to the folder of the run.
        prepare: writes the files that the run needs into an empty folder.
        outputs: the files and folders that the run makes.
        endless: why the run does not end by itself, for a server; then only its errors are checked.
        kept: patterns of files that an interrupted run may leave, so that the next run can continue.
        contents: from the folder to a mapping by which the results of two runs are compared (default: the bytes of
            all files); for databases, whose files differ from run to run.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    arguments: Sequence[str]
    prepare: Callable[[Path], object] = lambda folder: None
    outputs: Sequence[str] = ()
    endless: str = ""
    kept: Sequence[str] = ()
    contents: Callable[[Path], Mapping[str, Any]] | None = None
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, click.Command)


def ends(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to runs that end by themselves."""
    return case.endless or None if isinstance(case, CommandCase) else None


def has_json(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to commands that run with ``--json`` in some case, or that could."""
    return None if json_commands(subject) else f"has no option {JSON}"


def reads_files(subject: Subject, case: AnyCase | None) -> str | None:
    """Applies to cases whose arguments name a file that is there before the run."""
    if not isinstance(case, CommandCase):
        return None
    with prepared(case) as folder:
        return None if inputs_of(case, folder) else "reads no file"


@contextlib.contextmanager
def prepared(case: CommandCase) -> Iterator[Path]:
    """A folder with what a case needs."""
    with tempfile.TemporaryDirectory(prefix="cafx-command-") as name:
        folder = Path(name).resolve()
        case.prepare(folder)
        yield folder


def inputs_of(case: CommandCase, folder: Path) -> list[int]:
    """The positions of the arguments that name something in the folder."""
    return [index for index, each in enumerate(case.arguments) if each and (folder / each).exists()]


def command_of(subject: Subject, case: CommandCase) -> click.Command:
    """The command that a case runs: of a group, the subcommand that its arguments name."""
    command: click.Command = subject.thing
    for word in case.arguments:
        if not isinstance(command, click.Group) or word not in command.commands:
            break
        command = command.commands[word]
    return command


def json_commands(subject: Subject) -> list[click.Command]:
    """The commands with the option ``--json`` of which there is a case that ends by itself."""
    found = [command_of(subject, case) for case in subject.cases if not case.endless]
    return [each for each in dict.fromkeys(found) if any(JSON in option.opts for option in each.params)]


def every_command(subject: Subject) -> Iterator[tuple[str, click.Command]]:
    """The command and, of a group, all commands in it, with how they are called."""
    waiting: list[tuple[str, Any]] = [(f"cafx {subject.type}", subject.thing)]
    while waiting:
        path, command = waiting.pop(0)
        yield path, command
        if isinstance(command, click.Group):
            waiting += [(f"{path} {name}", each) for name, each in command.commands.items()]


def succeed(subject: Subject, case: CommandCase, folder: Path) -> Outcome:
    """The outcome of a run that must succeed."""
    outcome = run_command(subject, case.arguments, folder)
    if outcome.code != 0:
        raise CheckFailure(f"the run of the case exits with {outcome.code}: {outcome.error.strip()[-300:]}")
    return outcome


def require_clear_error(outcome: Outcome, what: str, codes: Sequence[int] = FAILURES, *, as_json: bool = False) -> None:
    """Raise CheckFailure unless a run has failed with one clear error on standard error."""
    problem = ""
    if outcome.code not in codes:
        problem = f"the exit code is {outcome.code}, not {' or '.join(map(str, codes))}"
    elif "Traceback" in outcome.error or "(this is a bug" in outcome.error:
        problem = f"not a clear error: {outcome.error.strip()[-300:]}"
    elif as_json and not is_json_error(outcome.error):
        problem = f"with {JSON}, the error is not JSON: {outcome.error.strip()[-300:]!r}"
    elif not as_json and len(ERROR_LINE.findall(outcome.error)) != 1:
        problem = f"not one line 'error: …' on standard error, but {outcome.error.strip()[-300:]!r}"
    elif outcome.output:
        problem = f"standard output is for results, and has {outcome.output[:200]!r}"
    if problem:
        raise CheckFailure(f"{what}: {problem}")


def is_json_error(text: str) -> bool:
    """Whether the last line of a text is an error as JSON, with a message."""
    try:
        return bool(json.loads(text.strip().splitlines()[-1])["error"]["message"])
    except (ValueError, LookupError, TypeError):
        return False


@check("help", "every command has a summary, an example and a text for each option", kind=KIND, per_case=False)
def help_text(subject: Subject) -> None:
    for path, command in every_command(subject):
        context = click.Context(command, info_name=path)
        example = rf"(?m)^ *(?:Examples?: *)?{re.escape(path)}\b"
        if not isinstance(command, click.Group) and not re.search(example, command.get_help(context)):
            raise CheckFailure(f"{path} --help has no example: a line that begins with '{path}', after 'Example:'")
        if not command.get_short_help_str().strip("."):
            raise CheckFailure(f"{path} has no summary: give it a docstring")
        silent = [each.opts[-1] for each in command.params if isinstance(each, click.Option) and not each.help]
        if silent:
            raise CheckFailure(f"{path} has options without help: {', '.join(silent)}")


@check("help-exit", "--help prints to standard output and exits with 0", kind=KIND, per_case=False)
def help_exit(subject: Subject) -> None:
    for path, _ in every_command(subject):
        with tempfile.TemporaryDirectory() as folder:
            outcome = run_command(subject, [*path.split()[2:], "--help"], Path(folder))
        if outcome.code or "Usage:" not in outcome.output:
            raise CheckFailure(f"{path} --help exits with {outcome.code}: {outcome.error.strip()[-300:]}")


@check("unknown-option", "an unknown option exits with 2 and one clear error", kind=KIND)
def unknown_option(subject: Subject, case: CommandCase) -> None:
    with prepared(case) as folder:
        outcome = run_command(subject, [*case.arguments, UNKNOWN], folder)
        require_clear_error(outcome, UNKNOWN, (2,), as_json=JSON in case.arguments)


@check("missing-file", "a missing file is one clear error that names it", kind=KIND, applies=reads_files)
def missing_file(subject: Subject, case: CommandCase) -> None:
    with prepared(case) as folder:
        before = files_of(folder)
        for index in inputs_of(case, folder):
            arguments = list(case.arguments)
            arguments[index] = f"missing-{Path(arguments[index]).name}"
            outcome = run_command(subject, arguments, folder)
            require_clear_error(outcome, f"{arguments[index]} does not exist", as_json=JSON in arguments)
            if arguments[index] not in outcome.error:
                raise CheckFailure(f"the error does not name the missing {arguments[index]}: {outcome.error.strip()}")
            require_unchanged(folder, before, f"without {case.arguments[index]}")


@check("wrong-file", "a file of another kind is one clear error", kind=KIND, applies=reads_files)
def wrong_file(subject: Subject, case: CommandCase) -> None:
    for index in range(len(case.arguments)):
        with prepared(case) as folder:
            path = folder / case.arguments[index]
            if index not in inputs_of(case, folder) or not path.is_file():
                continue
            path.write_bytes(DAMAGE)
            before = files_of(folder)
            outcome = run_command(subject, case.arguments, folder)
            require_clear_error(outcome, f"{path.name} with random bytes", as_json=JSON in case.arguments)
            require_unchanged(folder, before, f"with random bytes in {path.name}")


def require_unchanged(folder: Path, before: Mapping[str, bytes], what: str) -> None:
    """Raise CheckFailure if a run has changed the files of a folder."""
    after = files_of(folder)
    changed = sorted(name for name in {*after, *before} if after.get(name) != before.get(name))
    if changed:
        raise CheckFailure(f"a failed run, {what}, leaves or changes {', '.join(changed)}")


@check("succeeds", "the run of the case succeeds and makes the outputs that it states", kind=KIND, applies=ends)
def succeeds(subject: Subject, case: CommandCase) -> None:
    with prepared(case) as folder:
        before = files_of(folder)
        succeed(subject, case, folder)
        made = {name for name in files_of(folder) if name not in before}
        missing = [name for name in case.outputs if not (folder / name).exists()]
        unstated = sorted(name for name in made if not is_within(name, case.outputs))
        if missing or unstated:
            raise CheckFailure(
                "; ".join(
                    [f"the run does not make {name}" for name in missing]
                    + [f"the run makes {name}, which the case does not state in outputs" for name in unstated]
                )
            )


def is_within(name: str, outputs: Sequence[str]) -> bool:
    """Whether a file is one of the outputs, or in one of them."""
    return any(Path(name).is_relative_to(output) for output in outputs)


@check("repeats", "two runs print and write the same", kind=KIND, applies=ends)
def repeats(subject: Subject, case: CommandCase) -> None:
    found = []
    for _ in range(2):
        with prepared(case) as folder:
            outcome = succeed(subject, case, folder)
            found.append((outcome.output, contents_of(case, folder)))
    if found[0][0] != found[1][0]:
        raise CheckFailure("a second run prints something else: measured times belong on standard error")
    if found[0][1] != found[1][1]:
        raise CheckFailure("a second run writes other files")


def contents_of(case: CommandCase, folder: Path) -> Mapping[str, Any]:
    """What the results of a run are compared by."""
    return case.contents(folder) if case.contents else files_of(folder)


@check("json", "with --json, standard output is JSON", kind=KIND, per_case=False, applies=has_json)
def json_output(subject: Subject) -> None:
    chosen = [case for case in subject.cases if JSON in case.arguments and not case.endless]
    missing = [each for each in json_commands(subject) if each not in [command_of(subject, case) for case in chosen]]
    if missing:
        raise CheckFailure(f"no case runs {missing[0].name} with {JSON}")
    for case in chosen:
        with prepared(case) as folder:
            require_json(succeed(subject, case, folder).output)


def require_json(text: str) -> None:
    """Raise CheckFailure unless a text is JSON, as a whole or line by line."""
    try:
        json.loads(text)
    except ValueError:
        try:
            found = [json.loads(line) for line in text.splitlines()]
        except ValueError:
            found = []
        if not found:
            raise CheckFailure(f"with {JSON}, standard output is not JSON: {text[:200]!r}") from None


@check("broken-pipe", "the run ends silently if nobody reads its output", kind=KIND, applies=ends)
def broken_pipe(subject: Subject, case: CommandCase) -> None:
    with prepared(case) as folder:
        outcome = run_command(subject, case.arguments, folder, output=unread())
        if "Traceback" in outcome.error or ERROR_LINE.search(outcome.error):
            raise CheckFailure(f"with standard output closed: {outcome.error.strip()[-300:]}")


@check("interrupted", "Ctrl-C and a full disk leave no incomplete file", kind=KIND, applies=ends)
def interrupted(subject: Subject, case: CommandCase) -> None:
    with prepared(case) as folder:
        total = points_of(subject, case.arguments, folder)
        good, results = files_of(folder), contents_of(case, folder)
    for error in (KeyboardInterrupt, full_disk):
        for point in sorted({1, total // 2, total} - {0}):
            with prepared(case) as folder:
                before = files_of(folder)
                outcome = interrupted_run(subject, case.arguments, folder, point, error)
                what = f"{'Ctrl-C' if error is KeyboardInterrupt else 'a full disk'} in {outcome.raised}"
                if "Traceback" in outcome.error:
                    raise CheckFailure(f"{what} gives a traceback: {outcome.error.strip()[-300:]}")
                if outcome.code == 0 and outcome.raised and contents_of(case, folder) != results:
                    raise CheckFailure(f"{what} is ignored: the run exits with 0")
                left = {name for name, content in files_of(folder).items() if before.get(name) != content}
                left = {name for name in left if not any(fnmatch.fnmatch(name, each) for each in case.kept)}
                if left - set(good):
                    raise CheckFailure(f"{what} leaves {', '.join(sorted(left - set(good)))}")
                found = contents_of(case, folder) if left else {}
                incomplete = sorted(name for name in found if name in results and found[name] != results[name])
                if incomplete:
                    raise CheckFailure(f"{what} leaves an incomplete {', '.join(incomplete)}")


def full_disk() -> OSError:
    """The error of a write to a full disk."""
    return OSError(errno.ENOSPC, "No space left on device")
