"""The base of data layers: batches come from a source by way of a prefetcher."""

from __future__ import annotations

import weakref
from collections.abc import Callable
from typing import Any, ClassVar

from cafx.kernel import HOST, Blob, CafxError, Layer, Message, message, option
from cafx.kernel.net import Arity
from cafx_lib_feed.prefetch import Batch, Prefetcher, Source

DEFAULT_PREFETCH = 4


@message()
class LegacyTransform(Message):
    """Where transformations stood before transform_param; in a `layer` Caffe reads past them."""

    scale: float = option(2, "float", 1.0, doc="read and ignored: transform_param has it")
    mean_file: str = option(3, "string", doc="read and ignored: transform_param has it")
    crop_size: int = option(5, "uint32", 0, doc="read and ignored: transform_param has it")
    mirror: bool = option(6, "bool", False, doc="read and ignored: transform_param has it")


class Feed:
    """A source and its prefetcher, which starts at the first batch asked for."""

    def __init__(self, source: Source, ahead: int, dtype: Any) -> None:
        self.source = source
        self.ahead = ahead
        self.dtype = dtype
        self.batches = 0
        self._prefetcher: Prefetcher | None = None

    def next(self) -> Batch:
        """The next batch."""
        if self._prefetcher is None:
            self._prefetcher = Prefetcher(self.source, self.ahead, self.dtype, self.batches)
        batch = self._prefetcher.next()
        self.batches += 1
        return batch

    def go_to(self, batches: int) -> None:
        """Go on after that many batches."""
        self.stop()
        self.batches = batches

    def stop(self) -> None:
        """End the threads; `next` starts them again."""
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None

    def close(self) -> None:
        """End the threads, then release files and databases."""
        self.stop()
        self.source.close()


class BatchLayer(Layer):
    """A layer without bottoms whose tops are batches: images or vectors and, if wanted, labels.

    Bottoms: none. Tops: data, and labels where a second top is named. There is nothing to go back to.

    A further layer implements `make_source`, which also gives the shapes of the first batch. Its
    cursor is the number of batches handed out; everything random about a batch is drawn from the
    stream of the layer's name and the batch's number, so that a resumed run sees the same ones.
    """

    bottoms: ClassVar[Arity] = 0
    tops: ClassVar[Arity] = (1, 2)
    deterministic = False
    keeps_state = True
    forward_only = True

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """The source, and the shapes the tops have at first."""
        raise NotImplementedError

    def failure(self) -> Callable[..., CafxError]:
        """What `error` does, for a source: it may not hold on to the layer."""
        where = self.where
        return lambda message, **details: CafxError(message, where=where, **details)

    @property
    def ahead(self) -> int:
        """How many batches are made in advance."""
        return DEFAULT_PREFETCH

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Open the source and give the tops their first shapes."""
        try:
            source, shapes = self.make_source(top)
        except CafxError as error:
            raise error.at(self.where) from error.__cause__
        self.feed = Feed(source, self.ahead, self.context.dtype)
        self._closer = weakref.finalize(self, self.feed.close)
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(*shape)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The tops keep the shapes their batches gave them."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Hand out the next batch: the tops' data are the very buffer it was made in."""
        for blob, array in zip(top, self.next_batch().arrays, strict=True):
            if blob.shape != array.shape:
                blob.reshape(*array.shape)
            blob.synced_data.mark_written(HOST, array.reshape(-1))

    def next_batch(self) -> Batch:
        """The next batch; an error of the thread that made it, with its cause."""
        try:
            return self.feed.next()
        except CafxError as error:
            raise error.at(self.where) from error.__cause__
        except Exception as error:
            raise self.error(f"its data cannot be read: {type(error).__name__}: {error}") from error

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """There is nothing below."""

    def state(self) -> dict[str, Any]:
        """The cursor: batches handed out."""
        return {"batches": self.feed.batches}

    def restore(self, state: dict[str, Any]) -> None:
        """Go on with the batch after those."""
        self.feed.go_to(int(state["batches"]))

    def close(self) -> None:
        """End the threads and release files and databases."""
        if hasattr(self, "_closer"):
            self._closer()
