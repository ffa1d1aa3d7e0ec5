"""Entry point of ``cafx``: the group of commands, error messages and exit codes."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Sequence

import click

from cafx.cli import __version__
from cafx.cli.lazy import LazyGroup, Settings, debug_option

USER_ERROR, INTERRUPTED, BROKEN_PIPE = 1, 130, 141


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Plugins can add commands. Run 'cafx COMMAND --help' for options.",
)
@click.version_option(__version__, prog_name="cafx")
def cafx() -> None:
    """Caffe reborn as plugins: train, test, time and inspect nets."""


cafx.params.append(debug_option())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its exit code."""
    code = run(arguments)
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)


def run(arguments: Sequence[str] | None = None, command: click.Command = cafx, name: str = "cafx") -> int:
    """Run a command line and return its exit code; any error is printed as one line.

    Args:
        arguments: what follows the program's name; None for those of this process.
        command: the program.
        name: its name.
    """
    settings = Settings()
    try:
        code = command.main(arguments, prog_name=name, standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # discard buffered output
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - tracebacks are for --debug only
        return _print_error(error, settings)


def _print_error(error: Exception, settings: Settings) -> int:
    """Print an error as one line, after its traceback with --debug; returns the exit code."""
    from cafx.kernel.errors import CafxError

    if settings.debug:
        traceback.print_exception(error)
    if isinstance(error, CafxError):
        text = str(error)
    elif isinstance(error, OSError) and error.strerror:
        text = f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    elif isinstance(error, MemoryError):
        text = "out of memory; try a smaller batch"
    else:
        text = f"{type(error).__name__}: {error} (this is a bug; --debug shows where)"
    click.echo("error: " + " ".join(text.split("\n")), err=True)
    return USER_ERROR
