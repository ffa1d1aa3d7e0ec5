"""Entry point of ``cafx``: runs a command line, and reports its errors.

What takes long to import is imported by `main` and `run`, where Ctrl-C is expected.
"""

from __future__ import annotations

import os
import sys

VARIABLE = "_CAFX_COMPLETE"
"""Set by the shell when it asks for completions."""
TYPE_CHECKING = False
"""As in ``typing``, which takes long to import."""
if TYPE_CHECKING:
    from collections.abc import Sequence

    import click

    from cafx.cli.lazy import Settings


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit with its exit code."""
    try:
        from cafx.cli.process import exit_after
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    exit_after(lambda: run(arguments))


def run(arguments: Sequence[str] | None = None, command: click.Command | None = None, name: str = "cafx") -> int:
    """Run a command line and return its exit code; any error is printed as one line.

    Args:
        arguments: what follows the program's name; None for those of this process.
        command: the program; None for ``cafx``.
        name: its name.
    """
    import click

    from cafx.cli.group import cafx
    from cafx.cli.lazy import Settings
    from cafx.cli.process import BROKEN_PIPE, FAILED, INTERRUPTED, interrupted
    from cafx.cli.reporting import asks_for_json, report

    if VARIABLE in os.environ:
        from cafx.cli.completing import use_own_shells

        use_own_shells()
    settings = Settings()
    as_json = asks_for_json(sys.argv[1:] if arguments is None else arguments)
    try:
        code = (command or cafx).main(arguments, prog_name=name, standalone_mode=False, obj=settings)
        return code if isinstance(code, int) else 0
    except click.ClickException as error:
        report(error, error.exit_code, as_json=as_json)
        return error.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("interrupted", err=True)
        return INTERRUPTED
    except BrokenPipeError:
        return BROKEN_PIPE
    except Exception as error:  # noqa: BLE001 - tracebacks are for --debug only
        if interrupted():
            click.echo("interrupted", err=True)
            return INTERRUPTED
        _show_traceback(error, settings)
        report(error, FAILED, as_json=as_json)
        return FAILED


def _show_traceback(error: Exception, settings: Settings) -> None:
    if settings.debug:
        import traceback

        traceback.print_exception(error)
