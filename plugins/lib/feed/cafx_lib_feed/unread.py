"""Options of transform_param that come from a fork of Caffe, where only some data layers read them."""

from __future__ import annotations

import logging
import re

from cafx.kernel import Layer, TransformationParameter
from cafx.kernel.schema import READ, complete

log = logging.getLogger("cafx.net")


def warn_of_unread(layer: Layer) -> None:
    """Warn of options in a layer's transform_param that only other layer types read, as their dialect says.

    Args:
        layer: a layer that transforms images.
    """
    declared = complete(TransformationParameter, layer.context.plugins).__options__
    given = {field.name for field, _ in layer.spec.transform_param.ListFields()}
    unread: dict[str, list[str]] = {}
    for name, option in declared.items():
        effect = option.effect if name in given else None
        if effect is not None and effect.kind == READ and not re.search(rf"\b{re.escape(layer.type)}\b", effect.doc):
            unread.setdefault(effect.doc, []).append(f"transform_param.{name}")
    for readers, names in unread.items():
        remedy = "use that layer, or remove what is ignored"
        log.warning("%s ignores %s (only %s); %s", layer.where, ", ".join(names), readers, remedy)
