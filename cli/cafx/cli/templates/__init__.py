"""Templates of new plugins, and filling them in."""

from __future__ import annotations

import re
import shutil
import tempfile
from importlib import resources
from pathlib import Path
from string import Template

import attrs

from cafx.kernel import CafxError, registry

SUFFIX = ".tmpl"


@attrs.frozen
class Written:
    """A plugin just written."""

    folder: Path
    files: list[str]
    distribution: str
    module: str
    type: str


@attrs.frozen
class Names:
    """The names of a layer ``soft_clip``: SoftClip, softclip, soft_clip_param."""

    words: tuple[str, ...]

    @property
    def type(self) -> str:
        """As prototxt names it."""
        return "".join(word[:1].upper() + word[1:] for word in self.words)

    @property
    def short(self) -> str:
        """As distributions and modules name it."""
        return "".join(self.words).lower()

    @property
    def field(self) -> str:
        """As its options are named in a layer's prototxt."""
        return "_".join(word.lower() for word in self.words) + "_param"


def names_of(text: str) -> Names:
    """The names for what a person typed: ``soft_clip``, ``soft-clip``, ``SoftClip``."""
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", text)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) or not words:
        raise CafxError("a layer's name", found=repr(text), expected="letters, digits, _ or -, beginning with a letter")
    return Names(tuple(words))


def write_layer(name: str, into: str) -> Written:
    """Write ``into/cafx-layer-NAME``, all of it or nothing."""
    names = names_of(name)
    _refuse_taken(names.type)
    distribution, module = f"cafx-layer-{names.short}", f"cafx_layer_{names.short}"
    folder = Path(into) / distribution
    if folder.exists():
        raise CafxError("is there already", where=str(folder), remedy="choose another name or folder")
    values = {
        "Type": names.type, "short": names.short, "field": names.field, "module": module,
        "distribution": distribution,
    }  # fmt: skip
    try:
        with tempfile.TemporaryDirectory(dir=into, prefix=f".{distribution}.") as draft:
            whole = Path(draft) / distribution
            whole.mkdir()
            for template in resources.files(__name__).joinpath("layer").iterdir():
                if template.name.endswith(SUFFIX):
                    target = Template(template.name.removesuffix(SUFFIX)).substitute(values)
                    text = Template(template.read_text("utf-8")).substitute(values)
                    (whole / target).write_text(text, "utf-8")
            shutil.move(whole, folder)
    except OSError as error:
        raise CafxError(f"cannot be written: {error.strerror}", where=str(folder)) from error
    files = sorted(path.name for path in folder.iterdir())
    return Written(folder, files, distribution, module, names.type)


def _refuse_taken(type_name: str) -> None:
    """CafxError where an installed plugin has that name."""
    owners = [p.distribution for p in registry().plugins("layer") if p.name.lower() == type_name.lower()]
    if owners:
        raise CafxError(f"layer type '{type_name}' is taken by {owners[0]}", remedy="choose another name")
