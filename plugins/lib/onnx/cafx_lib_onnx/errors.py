"""What cannot be converted."""

from __future__ import annotations

from cafx.kernel import CafxError


class NoOnnxForm(CafxError):
    """A layer, or an option of it, that ONNX's standard operators cannot express."""


class NoLayerForm(CafxError):
    """A node, or an attribute of it, that no layer expresses."""
