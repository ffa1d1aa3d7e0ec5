"""Conformance cases of ``cafx onnx``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import write_images, write_net
from cafx.kernel import TEST, Net
from cafx_lib_onnx import export_net, save_model


def write_onnx(folder: Path) -> None:
    """Write a net, its weights, images, and the net as ONNX model."""
    write_net(folder)
    write_images(folder)
    with Net(folder / "net.prototxt", TEST, weights=folder / "net.caffemodel", engine="numpy") as net:
        save_model(export_net(net).model, folder / "net.onnx")


def cases() -> Iterable[CommandCase]:
    """Each command on a net of four layers."""
    weights = ["--weights", "net.caffemodel"]
    timed = {"quantize": {"repeats": "tells how long both nets take"}}
    for name, arguments, outputs in (
        ("export", ["export", "net.prototxt", "out.onnx", *weights], ["out.onnx"]),
        ("import", ["import", "net.onnx", "out"], ["out.prototxt", "out.caffemodel"]),
        ("check", ["check", "net.prototxt", "net.onnx", *weights, "--engine", "numpy"], []),
        ("quantize", ["quantize", "net.prototxt", "out.onnx", *weights, "--images", "images"], ["out.onnx"]),
        ("coverage", ["coverage"], []),
    ):
        if name in ("export", "import"):
            yield CommandCase(name, arguments, write_onnx, outputs)
        yield CommandCase(f"{name}-json", [*arguments, "--json"], write_onnx, outputs, skip=timed.get(name, {}))
