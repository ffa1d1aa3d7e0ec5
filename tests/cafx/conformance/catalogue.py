"""The plugins that make up Caffe, without those of its forks."""

from __future__ import annotations

import re
from importlib import metadata

from cafx.kernel import Registry
from cafx.kernel.registry import installed

META = "cafx"


def of_caffe() -> Registry:
    """A registry of the plugins that the distribution ``cafx`` consists of.

    Example:
        >>> "ReLU" in of_caffe().names("layer"), of_caffe().names("dialect")
        (True, [])
    """
    needed = {re.split(r"[\s<>=!~;\[]", each)[0] for each in metadata.requires(META) or []}
    return Registry([point for point in installed() if point.dist is not None and point.dist.name in needed])
