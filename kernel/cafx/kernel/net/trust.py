"""Trust: whether code that a net's definition names, such as the module of a Python layer, may be run."""

from __future__ import annotations

import os
from typing import Any

from cafx.kernel.net.graph import Graph


def check_trust(graph: Graph, *, trust: bool) -> None:
    """Refuse a net with layers that run code which its definition names, unless it is trusted.

    The class of such a layer has a class method ``named_code``: from a LayerParameter to the name of its code.

    Args:
        graph: the net; none of its layers has been created.
        trust: whether the code may be run; the environment variable CAFX_TRUST=1 says so too.

    Raises:
        CafxError: the first such layer, if it is not trusted.
    """
    if is_trusted(trust=trust):
        return
    named: list[Any] = [node for node in graph.nodes if hasattr(node.layer_class, "named_code")]
    if named:
        code = named[0].layer_class.named_code(named[0].proto)
        raise named[0].definition.error(f"not loaded: {code} (use --trust, trust=True or CAFX_TRUST=1)")


def is_trusted(*, trust: bool) -> bool:
    """Whether the code that nets name may be run.

    Args:
        trust: whether the caller says so; the environment variable CAFX_TRUST=1 says so too.
    """
    return trust or os.environ.get("CAFX_TRUST") == "1"
