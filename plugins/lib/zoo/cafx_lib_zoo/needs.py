"""What the nets of a model need: layer types, and the distributions they come from."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from cafx.kernel import CafxError, registry

LAYER = "layer"


def layers_of(nets: Iterable[Any]) -> dict[str, str]:
    """The layer types of nets, each with the distribution that provides it here.

    Args:
        nets: NetParameter messages.

    Raises:
        UnknownNameError: no installed plugin provides a type.

    Example:
        >>> from cafx.kernel import schema
        >>> net = schema().parse_text('layer { name: "a" type: "ReLU" bottom: "x" top: "x" }', "NetParameter")
        >>> layers_of([net])
        {'ReLU': 'cafx-layer-relu'}
    """
    types = {layer.type for net in nets for layer in net.layer}
    return {name: registry().find(LAYER, name).distribution for name in sorted(types)}


def lacking(layers: Mapping[str, str], where: str) -> CafxError | None:
    """The error for layer types that no installed plugin provides, or None.

    What a card says of distributions is not advice to install them: the remedy is what the role ``hints`` knows.

    Args:
        layers: layer types, each with the distribution that the card names.
        where: the model.
    """
    missing = [name for name in layers if name not in registry().names(LAYER)]
    if not missing:
        return None
    hints = registry().hints()
    if hints:
        error: CafxError = hints.lacking([(LAYER, name, None) for name in missing], where)
        return error
    return CafxError("needs layers that are not installed", where=where, found=", ".join(missing))
