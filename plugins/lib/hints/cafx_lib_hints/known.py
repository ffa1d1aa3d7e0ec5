"""Which distribution provides what: a table of those that exist, made by ``.ci/known.py``."""

from __future__ import annotations

import functools
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources

import attrs

TABLE = "known.tsv"
BUNDLE, NEEDS, EXTRA = "bundle", "needs", "extra"
WHOLE = "cafx"
"""The distribution whose extras the table lists."""
REQUIREMENT = re.compile(r"([\w.-]+)(\[[\w.,-]+\])?")
FIELD = re.compile(r"(\w+)_param")
KINDS = {"layer": "layer", "solver": "solver", "filler": "filler", "policy": "policy", "engine": "engine"}


@attrs.frozen
class Provider:
    """A distribution that provides something.

    Attributes:
        fork: the fork of Caffe that the thing belongs to, "" for Caffe's own.
        distribution: its name.
    """

    fork: str
    distribution: str


@attrs.frozen
class Part:
    """A distribution to install.

    Attributes:
        name: its name.
        extra: the extras of it that are wanted, in brackets, or "".
        folder: where a checkout keeps it.
    """

    name: str
    extra: str
    folder: str


@attrs.frozen
class Known:
    """The table.

    Attributes:
        providers: of each (kind, name); a kind is that of a plugin, the message of a field or the enum of a value.
        bundles: the distributions that each bundle installs.
        needs: the contributed distributions that each contributed one needs.
        folders: where a checkout keeps each distribution.
        extras: what each extra of cafx adds.
    """

    providers: Mapping[tuple[str, str], Sequence[Provider]]
    bundles: Mapping[str, frozenset[str]]
    needs: Mapping[str, frozenset[str]]
    folders: Mapping[str, str]
    extras: Mapping[str, frozenset[str]] = attrs.field(factory=dict)

    @classmethod
    @functools.cache
    def read(cls) -> Known:
        """The table as it was made when this package was built."""
        text = resources.files(__package__).joinpath(TABLE).read_text("utf-8")
        providers: dict[tuple[str, str], list[Provider]] = {}
        lists: dict[str, dict[str, frozenset[str]]] = {BUNDLE: {}, NEEDS: {}, EXTRA: {}}
        folders: dict[str, str] = {}
        for kind, name, fork, distribution, folder in (line.split("\t") for line in text.splitlines()):
            if kind in lists:
                lists[kind][name] = frozenset(distribution.split())
                folders |= {} if kind == EXTRA else {name: folder}
            else:
                providers.setdefault((kind, name), []).append(Provider(fork, distribution))
                folders[distribution] = folder
        return cls(providers, lists[BUNDLE], lists[NEEDS], folders, lists[EXTRA])

    def fork(self, kind: str, name: str) -> str:
        """The fork of Caffe that a name belongs to, "" for Caffe's own and unknown ones."""
        return next((each.fork for each in self.providers.get((kind, name), ())), "")

    def distributions(self, needs: Iterable[tuple[str, str]]) -> list[str]:
        """The distributions to install for these needs: a bundle where it replaces several.

        Args:
            needs: kind and name of each; those that nobody provides are left out.
        """
        chosen: list[str] = []
        wanted = self._wanted(needs)
        while len(wanted) > 1:
            best = max(sorted(self.bundles), key=lambda name: len(self.bundles[name] & wanted), default="")
            if not best or len(self.bundles[best] & wanted) < 2:
                break
            chosen.append(best)
            wanted -= self.bundles[best]
        return [*chosen, *sorted(wanted)]

    def _wanted(self, needs: Iterable[tuple[str, str]]) -> set[str]:
        """One provider of each need: of several, one that is wanted anyway."""
        offers = [[each.distribution for each in self.providers[need]] for need in needs if need in self.providers]
        wanted: set[str] = set()
        for offer in sorted(offers, key=len):
            if wanted.isdisjoint(offer):
                wanted.add(offer[0])
        return wanted

    def needed(self, distributions: Iterable[str]) -> list[Part]:
        """What to install for these distributions: themselves and those that cafx alone does not bring.

        Args:
            distributions: their names, each perhaps with extras in brackets.
        """
        extras: dict[str, set[str]] = {}
        left = list(distributions)
        while left:
            name, bracketed = REQUIREMENT.fullmatch(left.pop()).groups()  # type: ignore[union-attr]
            wanted = set(bracketed[1:-1].split(",")) if bracketed else set()
            if name == WHOLE and wanted:
                left.extend(each for extra in wanted for each in self.extras.get(extra, ()))
                continue
            if name not in extras or not wanted <= extras[name]:
                extras.setdefault(name, set()).update(wanted)
                left.extend(self.needs.get(name, ()))
        return [
            Part(name, f"[{','.join(sorted(wanted))}]" if wanted else "", self.folders[name])
            for name, wanted in sorted(extras.items(), key=lambda item: self.folders.get(item[0], ""))
            if name in self.folders
        ]


def convention(kind: str, name: str) -> str | None:
    """What to do about a name that no known distribution provides.

    Args:
        kind: the kind of plugin, or the message of a field, or the enum of a value.
        name: the name.

    Example:
        >>> convention("layer", "Foo!").partition(":")[0]
        "no package known here provides it; a third party's would be called cafx-layer-foo"
        >>> convention("solver", "Foo").partition("; ")[2].partition("; ")[2]
        "'cafx new solver Foo' starts your own"
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
        f"; 'cafx new {folder} {re.sub(r'[^A-Za-z0-9]+', '', name)[:40] or 'Name'}' starts your own"
        if kind != "engine"
        else ""
    )
    return (
        f"no package known here provides it; a third party's would be called cafx-{folder}-{short}: "
        f"check who publishes it before you install it{own}"
    )
