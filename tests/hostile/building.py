"""What builds nets: their definitions, and the lists and rows that their data layers read."""

from __future__ import annotations

import random
from pathlib import Path
from typing import ClassVar

from google.protobuf import text_format
from mutations import changed_bytes, changed_settings, changed_text, overwritten
from target import Target, build_and_run

from cafx.conformance.harness import net_of
from cafx.kernel import Phase, registry, schema


class HDF5Data(Target):
    """HDF5 files of an HDF5Data layer: two batches."""

    share = 3

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return self.read("rows.h5")

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        return (overwritten if rng.random() < 0.8 else changed_bytes)(rng, rng.choice(self.seeds()))

    def run(self, data: bytes) -> None:
        """See `Target`."""
        Path("input.h5").write_bytes(data)
        Path("input.txt").write_text("input.h5\n")
        shuffle = "true" if len(data) % 2 else "false"
        build_and_run(
            'layer { name: "d" type: "HDF5Data" top: "rows" top: "label" hdf5_data_param '
            f'{{ source: "input.txt" batch_size: 4 shuffle: {shuffle} }} }}',
            2,
        )


class ImageList(Target):
    """Lists of images of an ImageData layer: two batches."""

    share = 6
    text: ClassVar[str] = "0.png 1\n1.jpg 7\n2.bmp 3\n"
    words: ClassVar[tuple[str, ...]] = ("0.png", "..", "/", ".", "/dev/zero", "/dev/stdin", " ", "\t", "\r\n", "é", "٣")

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return [self.text.encode()]

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        data = changed_text(rng, self.text, self.words).encode("utf-8", "surrogateescape")
        return changed_bytes(rng, data) if rng.random() < 0.3 else data

    def run(self, data: bytes) -> None:
        """See `Target`."""
        Path("input.txt").write_bytes(data)
        build_and_run(
            'layer { name: "d" type: "ImageData" top: "a" top: "b" image_data_param { source: "input.txt" '
            'root_folder: "images/" batch_size: 2 new_height: 8 new_width: 9 } }',
            2,
        )


class Windows(ImageList):
    """Lists of windows of a WindowData layer: two batches."""

    share = 4
    text = "# 0\n0.png\n3\n16\n20\n2\n3 0.9 2 1 14 12\n5 0.1 4 3 17 14\n# 1\n1.jpg\n3 16 20 1\n1 0.7 0 0 9 9\n"

    def run(self, data: bytes) -> None:
        """See `Target`."""
        Path("input.txt").write_bytes(data)
        mode = "square" if len(data) % 2 else "warp"
        build_and_run(
            'layer { name: "d" type: "WindowData" top: "a" top: "b" window_data_param { source: "input.txt" '
            f'root_folder: "images/" batch_size: 4 context_pad: {len(data) % 3} crop_mode: "{mode}" '
            "fg_fraction: 0.5 } transform_param { crop_size: 6 mirror: true } }",
            2,
        )


class Prototxt(Target):
    """Nets: built on each CPU engine, and run if they are small. The seeds are the layers' conformance cases."""

    share = 24
    may_write = True
    engines: ClassVar[tuple[str, ...]] = ("numpy", "onednn")

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.words = vocabulary()
        self.texts = [(folder / "net.prototxt").read_text(), *case_texts()]

    def seeds(self) -> list[bytes]:
        """See `Target`."""
        return [text.encode() for text in self.texts]

    def make(self, rng: random.Random) -> bytes:
        """See `Target`."""
        text = rng.choice(self.texts)
        text = changed_settings(rng, text) if rng.random() < 0.6 else changed_text(rng, text, self.words)
        return text.encode("utf-8", "surrogateescape")

    def run(self, data: bytes) -> None:
        """See `Target`."""
        phase = (Phase.TRAIN, Phase.TEST)[len(data) % 2]
        build_and_run(data.decode("utf-8", "surrogateescape"), 1, self.engines[len(data) // 2 % 2], phase)


def vocabulary() -> tuple[str, ...]:
    """Names of fields, enum values, layers and fillers."""
    types = schema()
    fields = [field for name in types.names() for field in types[name].DESCRIPTOR.fields]
    values = [value.name for field in fields if field.enum_type for value in field.enum_type.values]
    names = [*registry().names("layer"), *registry().names("filler")]
    return tuple(sorted({*(field.name for field in fields), *values, *names}))


def case_texts() -> list[str]:
    """Nets of one layer after its inputs, from the cases that the layers declare for the conformance suite."""
    nets = []
    for plugin, layer in registry().usable("layer"):
        cases = [] if plugin.name == "Python" else layer.cases()
        nets += [net_of(plugin.name, case, registry()) for case in cases]
    return [text_format.MessageToString(net) for net in nets]
