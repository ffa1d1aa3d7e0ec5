"""Batches of a net's own data, or of images, to calibrate and score a model with."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import attrs

from cafx_command_onnx.deploy import is_source

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from cafx.kernel.net import NetDefinition

    Batch = dict[str, npt.NDArray[np.float32]]

IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp")


@attrs.frozen
class Feed:
    """Where batches come from.

    Attributes:
        open: starts from the beginning; yields batches for ever.
        size: items of a batch.
        count: number of items, None if it is not known.
    """

    open: Callable[[], contextlib.AbstractContextManager[Iterator[Batch]]]
    size: int
    count: int | None = None

    @contextlib.contextmanager
    def batches(self, items: int) -> Iterator[Iterator[Batch]]:
        """The batches of the first ``items`` items, rounded up to whole ones."""
        wanted = min(items, self.count) if self.count else items
        with self.open() as found:
            yield itertools.islice(found, max(1, -(-wanted // self.size)))


def feed_of_net(definition: NetDefinition) -> Feed | None:
    """The data of a net's data layers; None if it has none.

    Args:
        definition: the layers of one phase.

    Raises:
        CafxError: the data cannot be opened.
    """
    from cafx.kernel import TEST, Net, registry, schema

    sources = [layer for layer in definition.layers if is_source(layer.proto)]
    if not sources:
        return None
    proto = schema(registry())["NetParameter"](name="data")
    for layer in sources:
        copied = proto.layer.add()
        copied.CopyFrom(layer.proto)
        del copied.include[:], copied.exclude[:]

    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[Batch]]:
        with contextlib.closing(Net(proto, TEST, engine="numpy", seed=1)) as net:
            yield ({name: net.blobs[name].host() for name in net.blobs} for _ in _passes(net))

    with contextlib.closing(Net(proto, TEST, engine="numpy")) as net:
        size = next(iter(net.blobs.values())).shape[0]
        fed = [layer.feed.source.epoch for layer in net.layers if getattr(layer, "feed", None)]
        counts = [count for count in fed if count]
    return Feed(opened, size, counts[0] if counts else None)


def _passes(net: Any) -> Iterator[None]:
    while True:
        net.run_forward()
        yield


def feed_of_images(names: Sequence[str], blob: str, shape: Sequence[int], record: Any) -> Feed:
    """Images, as a net's input.

    Args:
        names: image files, and folders of them.
        blob: the input.
        shape: its shape.
        record: a `cafx_lib_preprocessing.Preprocessing`.

    Raises:
        CafxError: there is no image.
    """
    import numpy as np

    from cafx.kernel import CafxError
    from cafx_lib_feed.images import read_image

    prepared = record.for_input(shape)
    found = [each for name in names for each in _images(Path(name))]
    if not found:
        raise CafxError("no image was found", where=", ".join(names), expected=f"files {', '.join(IMAGE_SUFFIXES)}")

    @contextlib.contextmanager
    def opened() -> Iterator[Iterator[Batch]]:
        yield (
            {blob: np.concatenate([prepared.apply(read_image(path, color=prepared.depth > 1))[:1] for path in group])}
            for group in itertools.cycle([found[i : i + shape[0]] for i in range(0, len(found), shape[0])])
        )

    return Feed(opened, shape[0], len(found))


def _images(path: Path) -> list[Path]:
    if path.is_dir():
        return sorted(each for each in path.rglob("*") if each.suffix.lower() in IMAGE_SUFFIXES)
    return [path]
