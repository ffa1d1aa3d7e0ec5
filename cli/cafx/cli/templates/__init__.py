"""Creating plugins from templates."""

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
class CreatedPlugin:
    """A plugin just created."""

    folder: Path
    files: list[str]
    distribution: str
    module: str
    type: str


@attrs.frozen
class Names:
    """The names of a layer: of ``soft_clip``, SoftClip, softclip and soft_clip_param."""

    words: tuple[str, ...]

    @property
    def type(self) -> str:
        """The layer type."""
        return "".join(word[:1].upper() + word[1:] for word in self.words)

    @property
    def short(self) -> str:
        """The name in distributions and modules."""
        return "".join(self.words).lower()

    @property
    def field(self) -> str:
        """The field of LayerParameter that has the options."""
        return "_".join(word.lower() for word in self.words) + "_param"


def names_of(text: str) -> Names:
    """The names of a layer given as ``soft_clip``, ``soft-clip`` or ``SoftClip``.

    >>> names_of("soft-clip").type
    'SoftClip'

    Raises:
        CafxError: the text is not a valid name.
    """
    words = re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z0-9]+|[0-9]+", text)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_-]*", text) or not words:
        raise CafxError(
            "invalid layer name", found=repr(text), expected="letters, digits, _ or -, starting with a letter"
        )
    return Names(tuple(words))


def write_layer(name: str, into: str) -> CreatedPlugin:
    """Create the layer plugin ``into/cafx-layer-NAME``, completely or not at all.

    Args:
        name: the layer's name, as `names_of` takes it.
        into: the parent folder.

    Raises:
        CafxError: an invalid name, one that is taken, or a folder that exists or cannot be written.
    """
    names = names_of(name)
    _check_free(names.type)
    distribution, module = f"cafx-layer-{names.short}", f"cafx_layer_{names.short}"
    folder = Path(into) / distribution
    if folder.exists():
        raise CafxError("already exists", where=str(folder), remedy="choose another name or folder")
    values = {
        "Type": names.type,
        "short": names.short,
        "field": names.field,
        "module": module,
        "distribution": distribution,
    }
    try:
        with tempfile.TemporaryDirectory(dir=into, prefix=f".{distribution}.") as temporary:
            draft = Path(temporary) / distribution
            draft.mkdir()
            for template in resources.files(__name__).joinpath("layer").iterdir():
                if template.name.endswith(SUFFIX):
                    target = Template(template.name.removesuffix(SUFFIX)).substitute(values)
                    text = Template(template.read_text("utf-8")).substitute(values)
                    (draft / target).write_text(text, "utf-8")
            shutil.move(draft, folder)
    except OSError as error:
        raise CafxError(f"cannot be written: {error.strerror}", where=str(folder)) from error
    files = sorted(path.name for path in folder.iterdir())
    return CreatedPlugin(folder, files, distribution, module, names.type)


def _check_free(type_name: str) -> None:
    """CafxError if an installed layer has this name."""
    owners = [p.distribution for p in registry().plugins("layer") if p.name.lower() == type_name.lower()]
    if owners:
        raise CafxError(f"layer type '{type_name}' is taken by {owners[0]}", remedy="choose another name")
