"""The group of commands ``cafx``."""

from __future__ import annotations

import click

from cafx.cli import __version__
from cafx.cli.lazy import LazyGroup, debug_option


@click.group(
    cls=LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Plugins can add commands. Run 'cafx COMMAND --help' for options.",
)
@click.version_option(__version__, prog_name="cafx")
def cafx() -> None:
    """Caffe reborn as plugins: train, test, time and inspect nets.

    \b
    Examples:
    cafx train net.py
    cafx test net.py --weights net_iter_1000.caffemodel
    """


cafx.params.append(debug_option())
