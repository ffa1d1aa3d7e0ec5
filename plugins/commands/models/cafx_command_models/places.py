"""Which model a person means, and how sizes are written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from cafx_lib_zoo import Limits, ModelFolder, Source

DEFAULT_MAX = 4 * 10**9
UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}
SIZE = re.compile(r"(\d{1,15})\s*([kmgt]?)b?", re.IGNORECASE)


class Bytes(click.ParamType):  # type: ignore[type-arg]
    """A size such as 500M or 4G."""

    name = "SIZE"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int:
        """The number of bytes."""
        if isinstance(value, int):
            return value
        found = SIZE.fullmatch(str(value).strip())
        if not found:
            self.fail(f"{value!r} is not a size; try 500M or 4G", param, ctx)
        return int(found[1]) * UNITS[found[2].lower()]


max_size_option = click.option(
    "--max-size", type=Bytes(), default="4G", show_default=True, metavar="SIZE", help="Largest model to download."
)


def limits(max_size: int) -> Limits:
    """The limits of a download."""
    from cafx_lib_zoo import Limits

    return Limits(largest=max_size)


def kept(name: str) -> ModelFolder | None:
    """The downloaded model of this name or folder name; CafxError if there are several."""
    from cafx.kernel import CafxError
    from cafx_lib_zoo import ModelFolder, Store
    from cafx_lib_zoo.store import slug

    store = Store.default()
    wanted = slug(name)
    found = [each for each in (store.models() if store else ()) if wanted in (each.name, each.name.rpartition("-")[0])]
    if len(found) > 1:
        listed = ", ".join(each.name for each in found)
        raise CafxError(f"several downloaded models are called '{name}'", found=listed, remedy="use one of these names")
    return ModelFolder.read(found[0]) if found else None


def located(text: str, largest: int = DEFAULT_MAX) -> ModelFolder | Source:
    """A model that is here, or the source that a person named: a folder, an address or a downloaded model's name.

    Args:
        text: what the person wrote.
        largest: bytes of a download.

    Raises:
        CafxError: there is no such model.
    """
    from cafx.kernel import CafxError
    from cafx_lib_zoo import ModelFolder, open_source, references

    if Path(text).exists():
        return ModelFolder.read(text)
    model = kept(text) if ":" not in text and "/" not in text else None
    if model is None and text in references():
        remedy = f"'cafx models publish {text} DIR' writes its prototxts"
        raise CafxError("is a reference model, an architecture without weights", where=text, remedy=remedy)
    return model or open_source(text, limits(largest))


def size_text(count: int) -> str:
    """A number of bytes for people.

    Example:
        >>> size_text(999), size_text(5_002_333), size_text(553_432_081)
        ('999 B', '5.0 MB', '553.4 MB')
    """
    value = float(count)
    for unit in ("B", "kB", "MB", "GB"):
        if value < 1000 or unit == "GB":
            break
        value /= 1000
    return f"{value:.0f} B" if unit == "B" else f"{value:.1f} {unit}"
