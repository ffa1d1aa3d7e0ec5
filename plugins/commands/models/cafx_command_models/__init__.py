"""``cafx models``: trained models that others can get."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from cafx_command_models.getting import get, verify
from cafx_command_models.listing import list_models, search, show
from cafx_command_models.writing import convert, publish

if TYPE_CHECKING:
    from cafx.conformance.kinds.command import CommandCase

__version__ = "0.1.0"
__all__ = ["models"]


@click.group()
def models() -> None:
    """List, get, verify, publish and convert trained models.

    A model is a folder with prototxts, weights and a readme.md, which states what they are and the digest of each. It
    comes from a folder, a web server (https://…), a Gist (gist:ID) or the Hugging Face Hub (hf:ORG/NAME).

    \b
    Example:
    cafx models get https://example.org/models/lenet --to lenet
    cafx models verify lenet
    """


for command in (list_models, search, show, get, verify, publish, convert):
    models.add_command(command)


def cases() -> Iterable[CommandCase]:
    """The conformance cases: see `cafx_command_models.conformance_cases`."""
    from cafx_command_models import conformance_cases as own

    return own.cases()
