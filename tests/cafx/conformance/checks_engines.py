"""The check of what engines' routines may read of a layer."""

from __future__ import annotations

import inspect
import re
from typing import Any

import attrs

from cafx.conformance.cases import Case
from cafx.conformance.harness import Trial
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import Engine, Layer, Routine
from cafx.kernel.net import Compilation, LayerPlan

SECTION = "Read by engines:"
PUBLIC = {name for name in dir(Layer) if not name.startswith("_")} | {
    "blobs",
    "context",
    "name",
    "options",
    "param_propagate_down",
    "phase",
    "spec",
    "type",
    "xp",
}
"""What every layer has, which a routine may always read."""


class ReadLayer:
    """A layer that notes which of its attributes are read.

    Args:
        layer: the layer.
        names: where they are noted.
    """

    def __init__(self, layer: Layer, names: set[str]) -> None:
        self._layer, self._names = layer, names

    def __getattr__(self, name: str) -> Any:
        self._names.add(name)
        return getattr(self._layer, name)


def listed_attributes(layer: type[Layer]) -> set[str]:
    """The attributes in the section "Read by engines" of a layer's docstring."""
    _, _, section = inspect.cleandoc(layer.__doc__ or "").partition(f"{SECTION}\n")
    entries = re.match(r"(?: .*\n?|\n(?= ))*", section)
    return set(re.findall(r"(?m)^    (\w+):", entries[0])) if entries else set()


def attributes_read(subject: Subject, case: Case, engine_class: type[Engine]) -> set[str]:
    """What an engine's routine reads of the layer, beyond what every layer has."""
    names: set[str] = set()

    class Watched(engine_class):  # type: ignore[misc,valid-type]
        def routine(self, compilation: Compilation, planned: LayerPlan) -> Routine:
            if planned.layer.type != subject.type:
                return super().routine(compilation, planned)  # type: ignore[no-any-return]
            layer: Any = ReadLayer(planned.layer, names)
            return super().routine(compilation, attrs.evolve(planned, layer=layer))  # type: ignore[no-any-return]

    trial = Trial(subject.type, case, engine=Watched(subject.plugins), plugins=subject.plugins)
    trial.forward()
    if not trial.layer.forward_only:
        trial.backward()
    return {name for name in names if name not in PUBLIC}


@check("read-by-engines", "attributes that engines read are documented and set")
def read_by_engines(subject: Subject, case: Case) -> None:
    listed = listed_attributes(subject.layer)
    layer = Trial(subject.type, case, plugins=subject.plugins).layer
    missing = sorted(name for name in listed if not hasattr(layer, name))
    if missing:
        raise CheckFailure(f'"{SECTION}" lists {", ".join(missing)}, which setup and reshape do not set')
    for plugin, engine in subject.plugins.usable("engine"):
        if subject.type not in subject.plugins.names(f"engine.{plugin.name}") or engine.unavailable() is not None:
            continue
        unlisted = sorted(attributes_read(subject, case, engine) - listed)
        if unlisted:
            raise CheckFailure(
                f"engine '{plugin.name}' reads {', '.join(unlisted)}: "
                f'list it in the docstring of the layer under "{SECTION}", or read something public'
            )
