"""Which distribution provides what: a table of those that exist, made by ``.ci/known.py``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping
from importlib import resources

import attrs

TABLE = "known.tsv"
BUNDLE = "bundle"
FIELD = re.compile(r"(\w+)_param")
KINDS = {"layer": "layer", "solver": "solver", "filler": "filler", "policy": "policy", "engine": "engine"}


@attrs.frozen
class Known:
    """The table.

    Attributes:
        rows: fork and distribution of each (kind, name); a kind is that of a plugin, the message of a field or
            the enum of a value.
        bundles: the distributions that each bundle installs.
        folders: where a checkout keeps each distribution.
    """

    rows: Mapping[tuple[str, str], tuple[str, str]]
    bundles: Mapping[str, frozenset[str]]
    folders: Mapping[str, str]

    @classmethod
    @functools.cache
    def read(cls) -> Known:
        """The table as it was made when this package was built."""
        text = resources.files(__package__).joinpath(TABLE).read_text("utf-8")
        lines = [line.split("\t") for line in text.splitlines()]
        rows = {(kind, name): (fork, distribution) for kind, name, fork, distribution, _ in lines if kind != BUNDLE}
        bundles = {name: frozenset(holds.split()) for kind, name, _, holds, _ in lines if kind == BUNDLE}
        folders = {name if kind == BUNDLE else distribution: at for kind, name, _, distribution, at in lines}
        return cls(rows, bundles, folders)

    def fork(self, kind: str, name: str) -> str:
        """The fork of Caffe that a name belongs to, "" for Caffe's own and unknown ones."""
        return self.rows.get((kind, name), ("", ""))[0]

    def distributions(self, needs: Iterable[tuple[str, str]]) -> list[str]:
        """The distributions to install for these needs: a bundle where it replaces several.

        Args:
            needs: kind and name of each; those that nobody provides are left out.
        """
        wanted = {self.rows[need][1] for need in needs if need in self.rows}
        chosen: list[str] = []
        while len(wanted) > 1:
            best = max(sorted(self.bundles), key=lambda name: len(self.bundles[name] & wanted), default="")
            if not best or len(self.bundles[best] & wanted) < 2:
                break
            chosen.append(best)
            wanted -= self.bundles[best]
        return [*chosen, *sorted(wanted)]

    def needed_folders(self, distributions: Iterable[str]) -> list[str]:
        """Where a checkout keeps these distributions, and those that bundles among them install."""
        inner = {each for name in distributions for each in (name, *self.bundles.get(name, ()))}
        return sorted(self.folders[name] for name in inner if name in self.folders)


def convention(kind: str, name: str) -> str | None:
    """What to do about a name that no known distribution provides.

    Args:
        kind: the kind of plugin, or the message of a field, or the enum of a value.
        name: the name.

    Example:
        >>> convention("layer", "Foo!").partition(":")[0]
        "no package known here provides it; a third party's would be called cafx-layer-foo"
    """
    field = FIELD.fullmatch(name)
    if kind.endswith("LayerParameter") and field:
        kind, name = "layer", field[1].replace("_", "")
    if kind not in KINDS:
        return None
    short = re.sub(r"[^a-z0-9]+", "", name.lower())[:40] or "name"
    folder = next(
        (each for each in ("loss", "data") if kind == "layer" and short.endswith(each) and short != each), kind
    )
    own = (
        f"; 'cafx new layer {re.sub(r'[^A-Za-z0-9]+', '', name)[:40] or 'Name'}' starts your own"
        if kind == "layer"
        else ""
    )
    return (
        f"no package known here provides it; a third party's would be called cafx-{folder}-{short}: "
        f"check who publishes it before you install it{own}"
    )
