"""What a prototxt needs and no installed plugin provides: all of it, where it is, and how to install it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs

from cafx.kernel import UnknownNameError, registry
from cafx.kernel.errors import did_you_mean
from cafx.kernel.schema import Mention, mentions
from cafx_lib_hints.install import install_line
from cafx_lib_hints.known import Known, convention
from cafx_lib_hints.listed import ListedNames
from cafx_lib_hints.modules import importable, replacements

LAYER, LAYER_MESSAGE, TYPE_FIELD = "layer", "LayerParameter", "type"
MODULE, PYTHON_MESSAGE = "module", "PythonParameter"


@attrs.frozen
class Need:
    """Something that no installed plugin provides.

    Attributes:
        kind: ``layer`` for a layer type, ``module`` for a Python module; else the message of a field, or the enum of
            a value.
        name: the layer type, module, field or value.
        line: the first line that uses it, None if unknown.
        known: the names that there are, for near misses.
        is_value: whether it is an enum value.
        count: how often it is used.
    """

    kind: str
    name: str
    line: int | None = None
    known: tuple[str, ...] = ()
    is_value: bool = False
    count: int = 1

    @property
    def message(self) -> str:
        """What is missing, in one clause."""
        if self.is_value:
            return f"unknown value '{self.name}' of {self.kind}"
        if self.kind == LAYER:
            return f"unknown layer type '{self.name}'"
        if self.kind == MODULE:
            return f"no Python module '{self.name}'"
        return f"{self.kind} has no field '{self.name}'"

    def at(self, source: str) -> str:
        """Where it is, in the file ``source``."""
        return f"{source}:{self.line}" if self.line else source


def needs_of(text: str, descriptor: Any) -> list[Need]:
    """The fields, enum values and layer types of a prototxt that no installed plugin provides, in order.

    Args:
        text: the prototxt.
        descriptor: protobuf's descriptor of its message.

    Example:
        >>> from cafx.kernel import schema
        >>> text = 'layer { type: "Foo" foo_param { x: 1 } }\\nlayer { type: "Foo" }'
        >>> for need in needs_of(text, schema()["NetParameter"].DESCRIPTOR):
        ...     print(need.at("net"), need.message, need.count)
        net:1 unknown layer type 'Foo' 2
        net:1 LayerParameter has no field 'foo_param' 1
    """
    types = tuple(registry().names(LAYER))
    found: dict[tuple[str, str], Need] = {}
    for each in mentions(text, descriptor):
        need = _need(each, types)
        if need is not None:
            first = found.get((need.kind, need.name))
            found[need.kind, need.name] = attrs.evolve(first, count=first.count + 1) if first else need
    return list(found.values())


def _need(mention: Mention, types: tuple[str, ...]) -> Need | None:
    if mention.descriptor is None:
        return Need(mention.owner, mention.field, mention.line, mention.siblings)
    if mention.unknown_value:
        return Need(mention.enum, mention.text, mention.line, mention.values, is_value=True)
    if (mention.owner, mention.field) == (LAYER_MESSAGE, TYPE_FIELD) and mention.text not in types:
        return Need(LAYER, mention.text, mention.line, types)
    if (mention.owner, mention.field) == (PYTHON_MESSAGE, MODULE):
        lacks = replacements(mention.text) and not importable(mention.text)
        return Need(MODULE, mention.text, mention.line) if lacks else None
    return None


def refusal(needs: Sequence[Need], source: str) -> UnknownNameError:
    """The error that names all needs; those of one fork are listed with it, misspelt ones with what was meant.

    Args:
        needs: what is missing, at least one thing.
        source: name of the file.
    """
    if len(needs) == 1:
        need = needs[0]
        expected = "one of " + ", ".join(need.known) if need.is_value else None
        advice = remedy(need.kind, need.name, need.known)
        return UnknownNameError(need.message, where=need.at(source), expected=expected, remedy=advice)
    return ListedNames(
        f"needs {len(needs)} things that are not installed",
        [_listed(each, source) for each in needs],
        where=source,
        remedy=_advice(needs),
    )


def _advice(needs: Sequence[Need]) -> str | None:
    """The line that installs all that is known of them."""
    table = Known.read()
    names = [(each.kind, each.name) for each in needs]
    line = install_line(table.distributions(names))
    which = "them" if all(name in table.providers for name in names) else "the others"
    return f"install {which} with: {line}" if line else None


def _listed(need: Need, source: str) -> str:
    fork = Known.read().fork(need.kind, need.name)
    note = fork or did_you_mean(need.name, need.known) or "no package known here provides it"
    times = f", {need.count} times" if need.count > 1 else ""
    return f"{need.at(source)}: {need.message}{times} ({note})"


def lacking(needs: Iterable[tuple[str, str, int | None]], source: str) -> UnknownNameError:
    """The error for several things that no installed plugin provides.

    Args:
        needs: of each the kind of plugin, the name, and the line that uses it.
        source: name of the file.
    """
    names = {kind: tuple(registry().names(kind)) for kind in (LAYER,)}
    return refusal([Need(kind, name, line, names.get(kind, ())) for kind, name, line in needs], source)


def remedy(kind: str, name: str, known: Iterable[str]) -> str | None:
    """What to do about a name that no installed plugin provides.

    Args:
        kind: the kind of plugin, the message of a field, the enum of a value, or ``module`` for a Python module whose
            layers a plugin replaces.
        name: the name.
        known: the names that there are.

    Example:
        >>> remedy("layer", "Convolutoin", ["Convolution"])
        "did you mean 'Convolution'?"
    """
    table = Known.read()
    if kind == MODULE:
        return install_line(replacements(name)) or None
    provided = install_line(table.distributions([(kind, name)]))
    if provided:
        fork = table.fork(kind, name)
        return f"{f'part of {fork}; ' if fork else ''}install it with: {provided}"
    return did_you_mean(name, known) or convention(kind, name)


def providers(kind: str, name: str) -> list[str]:
    """The distributions that are known to provide a plugin, installed or not, whatever the case of its name.

    Args:
        kind: the kind of plugin.
        name: its name.

    Example:
        >>> providers("layer", "relu")
        ['cafx-layer-relu']
    """
    table = Known.read().providers
    return [
        each.distribution for key in table if (key[0], key[1].lower()) == (kind, name.lower()) for each in table[key]
    ]
