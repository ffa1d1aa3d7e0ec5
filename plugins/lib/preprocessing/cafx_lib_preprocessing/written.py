"""A record of preprocessing as JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cafx.kernel import CafxError
from cafx.kernel.errors import did_you_mean
from cafx.kernel.files import shown

VERSION = 1
VERSION_NAME = "cafx_preprocessing"
MOST_CHARACTERS = 16 << 20
PLACES = ("mean", "labels")
"""Attributes that may name a file."""


def written(values: Mapping[str, Any], folder: str | Path | None) -> str:
    """A record's attributes as JSON, see `cafx_lib_preprocessing.Preprocessing.to_json`."""
    if isinstance(values["mean"], np.ndarray):
        raise CafxError(
            "a mean image in memory cannot be written as JSON", remedy="save it as .npy, and name that file"
        )
    named = {name: _relative(values[name], folder) for name in PLACES if isinstance(values[name], str)}
    return json.dumps({VERSION_NAME: VERSION, **values, **named}, indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def _relative(name: str, folder: str | Path | None) -> str:
    if folder is None:
        return name
    path, root = Path(name).resolve(), Path(folder).resolve()
    if not path.is_relative_to(root):
        raise CafxError("is outside of the folder of the preprocessing", where=shown(name), remedy="copy it there")
    return path.relative_to(root).as_posix()


def parsed(text: str, where: str | None) -> Any:
    """What JSON holds, see `cafx_lib_preprocessing.Preprocessing.from_json`.

    Args:
        text: the JSON.
        where: what errors name.
    """
    if len(text) > MOST_CHARACTERS:
        raise CafxError("is too large", where=where, expected=f"at most {MOST_CHARACTERS >> 20} MiB of JSON")
    try:
        return json.loads(text, object_pairs_hook=_without_repetition)
    except (ValueError, RecursionError) as error:
        raise CafxError(f"is not JSON: {error}", where=where, expected="a preprocessing record") from None


def checked(values: Any, known: Sequence[str], folder: str | Path | None, where: str | None) -> dict[str, Any]:
    """The attributes of a record, from the object that JSON or YAML holds.

    Args:
        values: the object.
        known: names of the attributes.
        folder: where its files are; None for the current one.
        where: what errors name.
    """
    if not isinstance(values, dict):
        expected = 'an object, such as {"size": [256, 256], "mean": [104, 117, 123]}'
        raise CafxError("is not a preprocessing record", where=where, found=type(values).__name__, expected=expected)
    version = values.get(VERSION_NAME, VERSION)
    if version != VERSION or type(version) is not int:
        remedy = "a newer cafx may read it"
        raise CafxError(
            "unknown version of a preprocessing record", where=where, found=version, expected=VERSION, remedy=remedy
        )
    found = {name: _frozen(value) for name, value in values.items() if name != VERSION_NAME}
    for name in found:
        if name not in known:
            raise CafxError(
                "preprocessing: unknown name",
                where=where,
                found=shown(repr(name)[:80]),
                expected=", ".join(known),
                remedy=did_you_mean(str(name), known),
            )
    named = {name: _within(found[name], folder, name, where) for name in PLACES if isinstance(found.get(name), str)}
    return {**found, **named}


def _without_repetition(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice")
    return found


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _within(name: str, folder: str | Path | None, what: str, where: str | None) -> str:
    """The path of a file in the folder; its name may not lead outside."""
    pure = PurePosixPath(name)
    if not name or pure.is_absolute() or ".." in pure.parts or "\\" in name or ":" in name or "\0" in name:
        raise CafxError(
            f"preprocessing: {what} is not a file of its folder",
            where=where,
            found=shown(name[:200]),
            expected="the name of a file beside the record",
        )
    if folder is None:
        return name
    path, root = Path(folder, name), Path(folder).resolve()
    if not path.resolve().is_relative_to(root):
        raise CafxError(f"preprocessing: {what} leads out of its folder", where=where, found=shown(name[:200]))
    return str(path)
