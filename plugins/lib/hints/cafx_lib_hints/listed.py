"""An error about several things, one in each line."""

from __future__ import annotations

from collections.abc import Sequence

from cafx.kernel import CafxError, UnknownNameError

SHOWN = 40
"""Items that are shown."""


class Listed(CafxError):
    """An error that lists what it is about.

    Args:
        message: what is wrong with all of it.
        items: what it is about.
        where: name of the file.
        remedy: what to do about it.

    Example:
        >>> print(Listed("lacks two things", ["an end", "a point"], where="net.prototxt", remedy="add them"))
        net.prototxt: lacks two things:
          an end
          a point
        add them
    """

    def __init__(self, message: str, items: Sequence[str], *, where: str, remedy: str | None = None) -> None:
        super().__init__(message, where=where, remedy=remedy)
        self.items = tuple(items)

    @property
    def lines(self) -> tuple[str, ...]:
        """The lines to show."""
        shown = [f"  {each}" for each in self.items[:SHOWN]]
        if len(self.items) > SHOWN:
            shown.append(f"  and {len(self.items) - SHOWN} more")
        return (f"{self.where}: {self.message}:", *shown, *([self.remedy] if self.remedy else []))

    def __str__(self) -> str:
        return "\n".join(self.lines)


class ListedNames(Listed, UnknownNameError):
    """A `Listed` of unknown names."""
