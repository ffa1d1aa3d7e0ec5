"""Conformance cases of ``cafx models``."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from cafx.conformance.kinds.command import CommandCase
from cafx.conformance.kinds.files import write_net
from cafx_lib_zoo import Card, publish


def write_model(folder: Path) -> None:
    """Write a net, its weights, and a model's folder made of them."""
    write_net(folder)
    files = {name: (folder / name).read_bytes() for name in ("net.prototxt", "net.caffemodel")}
    contents = {"deploy.prototxt": files["net.prototxt"], "small.caffemodel": files["net.caffemodel"]}
    publish(folder / "small", Card("small", license="mit", weights="small.caffemodel"), contents)


def cases() -> Iterable[CommandCase]:
    """Each command on a model's folder."""
    files = ["net.prototxt", "out", "--weights", "net.caffemodel", "--license", "mit"]
    for name, arguments, outputs in (
        ("list", ["list", "small"], []),
        ("search", ["search", "smal", "small"], []),
        ("show", ["show", "small"], []),
        ("verify", ["verify", "small"], []),
        ("get", ["get", "small", "--to", "copy"], ["copy"]),
        ("publish", ["publish", *files], ["out"]),
        ("convert", ["convert", "net.caffemodel", "net.safetensors"], ["net.safetensors"]),
    ):
        if name == "list":
            yield CommandCase(name, arguments, write_model, outputs)
        yield CommandCase(f"{name}-json", [*arguments, "--json"], write_model, outputs)
