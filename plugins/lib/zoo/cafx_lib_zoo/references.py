"""The reference models: architectures that plugins of group ``cafx.models`` provide, without weights."""

from __future__ import annotations

import inspect
from typing import Any

from cafx.kernel import registry

KIND = "model"


def references() -> list[str]:
    """The names of all reference models."""
    return registry().names(KIND)


def about(name: str) -> str:
    """The first paragraph of a reference model's description.

    Raises:
        CafxError: there is none of this name, or it cannot be imported.
    """
    return (inspect.getdoc(registry().load(KIND, name)) or "").partition("\n\n")[0].replace("\n", " ")


def reference_net(name: str, train: bool = False) -> Any:
    """The NetParameter of a reference model.

    Args:
        name: its name.
        train: for training rather than inference.

    Raises:
        CafxError: there is none of this name, or it cannot be imported.
    """
    return registry().load(KIND, name)(train=train).to_proto()
