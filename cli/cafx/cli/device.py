"""``cafx device``: engines, the GPUs they can use, and what is missing."""

from __future__ import annotations

import json
from typing import Any

import click

from cafx.cli.options import ALL_GPUS, json_option


def _numbers(_: click.Context, __: click.Parameter, text: str | None) -> list[int] | None:
    """The value of ``--gpu`` as numbers; None for all GPUs."""
    if text is None or text == ALL_GPUS:
        return None
    numbers = text.split(",")
    if all(number.isascii() and number.isdigit() for number in numbers):
        return [int(number) for number in numbers]
    from cafx.kernel.errors import CafxError

    raise CafxError("--gpu: not the number of a GPU", found=text, expected="a number, as in --gpu 0, or all")


@click.command()
@click.option("--gpu", metavar="N", callback=_numbers, help="Only this GPU; exits with 1 if it is not there.")
@json_option
def device(gpu: list[int] | None, as_json: bool) -> None:
    """Show the installed engines, the GPUs they can use, and what is missing to use one.

    Of a GPU: its number, which --gpu takes, name, memory, and the versions of driver and libraries. Of an
    engine that cannot run here: why, and the remedy.

    \b
    Examples:
    cafx device
    cafx device --gpu 0 --json
    cafx train --solver solver.prototxt --gpu 0
    """
    from cafx.cli.devices import limited, survey

    found = survey()
    if gpu is not None:
        found = limited(found, gpu)
    click.echo(json.dumps(found) if as_json else "\n".join(_lines(found)))


def _lines(found: dict[str, Any]) -> list[str]:
    """The survey as text."""
    lines: list[str] = []
    for row in found["engines"]:
        state = "available" if row["available"] else f"not available: {row['reason']}"
        default = " (default)" if row["name"] == found["default"] else ""
        lines.append(f"{row['name']} {row['version']}{default}: {state}")
        for each in row["devices"]:
            lines += _device_lines(each)
    if not found["missing"]:
        return lines
    return [*lines, "", "To use a GPU, this machine lacks:", *(f"  {each}" for each in found["missing"])]


def _device_lines(found: dict[str, Any]) -> list[str]:
    from cafx.cli.net import size_text

    memory = f"{size_text(found['memory'])} of memory, {size_text(found['free'])} free"
    details = [f"    {name}: {value}" for name, value in found["details"].items()]
    return [f"  GPU {found['index']}: {found['name']}, {memory}", *details]
