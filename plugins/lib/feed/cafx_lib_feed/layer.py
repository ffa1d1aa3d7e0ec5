"""Base class of data layers: a source of batches, prefetched by background threads."""

from __future__ import annotations

import _thread
import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any, ClassVar

import numpy as np

from cafx.kernel import HOST, Blob, CafxError, Layer, Message, message, option
from cafx.kernel.net import ALONE, Arity, Communicator, Sent, Staging
from cafx_lib_feed.prefetch import Batch, Prefetcher, Source
from cafx_lib_feed.unread import warn_of_unread
from cafx_lib_pixels import IMAGES, Images

DEFAULT_PREFETCH = 4
log = logging.getLogger("cafx.net")


@message()
class LegacyTransform(Message):
    """Transformation options from before transform_param, which Caffe ignores in a `layer`."""

    scale: float = option(2, "float", 1.0, doc="ignored; use transform_param")
    mean_file: str = option(3, "string", doc="ignored; use transform_param")
    crop_size: int = option(5, "uint32", 0, doc="ignored; use transform_param")
    mirror: bool = option(6, "bool", False, doc="ignored; use transform_param")


MOST_BATCHES = 2**48


class Feed:
    """A source and its prefetcher, which starts with the first `next`.

    Args:
        source: the source of batches.
        prefetch: number of batches to prepare in advance.
        dtype: type of the batches.
        staging: sends batches to a device ahead of time; None to leave them on the host.
        communicator: the processes to which the batches are dealt.

    Attributes:
        batches: number of batches handed out.
        sent: the last batch handed out, on its way to the device; None without staging.
    """

    def __init__(
        self,
        source: Source,
        prefetch: int,
        dtype: Any,
        staging: Staging | None = None,
        communicator: Communicator = ALONE,
    ) -> None:
        self.source = source
        self.communicator = communicator
        source.ranks = communicator.size
        source.keeps_bytes = staging is None or IMAGES in staging.takes
        self.prefetch = prefetch
        self.dtype = dtype
        self.batches = 0
        self.sent: Sent | None = None
        self._staging = staging
        self._ahead: tuple[Batch, Sent] | None = None
        self._prefetcher: Prefetcher | None = None

    def next(self) -> Batch:
        """The next batch."""
        if self._prefetcher is None:
            allocate = self._staging.buffer if self._staging else np.empty
            ranks = self.communicator
            first = self.batches * ranks.size + ranks.rank
            self._prefetcher = Prefetcher(self.source, self.prefetch, self.dtype, first, allocate)
        if self.sent is not None:
            self.sent.wait()  # its memory is used again from here on
        batch = self._prefetcher.next()
        self.batches += 1
        if self._staging is not None:
            self._send(batch, self._prefetcher.peek())
        return batch

    def _send(self, batch: Batch, following: Batch | None) -> None:
        """Send this batch, if it has not been sent ahead, and the one after it, if it is ready."""
        assert self._staging is not None
        ahead = self._ahead
        self.sent = ahead[1] if ahead is not None and ahead[0] is batch else self._staging.send(flat(batch))
        self._ahead = None if following is None else (following, self._staging.send(flat(following)))

    def seek(self, batches: int) -> None:
        """Continue with batch number ``batches``."""
        self.stop()
        self.batches = batches

    def stop(self) -> None:
        """Stop prefetching; `next` starts it again."""
        for sent in (self.sent, self._ahead[1] if self._ahead else None):
            if sent is not None:
                sent.wait()
        self.sent = self._ahead = None
        if self._prefetcher is not None:
            self._prefetcher.close()
            self._prefetcher = None

    def close(self) -> None:
        """Stop prefetching, then release files and databases."""
        self.stop()
        self.source.close()


def flat(batch: Batch) -> list[Any]:
    """What a batch consists of: arrays, each as one axis, and `Images`."""
    return [each if isinstance(each, Images) else each.reshape(-1) for each in batch.arrays]


def close_apart(feed: Feed) -> None:
    """Close the feed of a layer that is no longer in use, in a thread of its own.

    The garbage collector runs anywhere: also where its caller holds a lock, such as HDF5's, that the
    prefetching threads wait for, or one of ``threading``'s, that every new `threading.Thread` waits for. It must wait
    for neither.
    """
    _thread.start_new_thread(_close_in_thread, (feed,))


def _close_in_thread(feed: Feed) -> None:
    """Start the thread that closes a feed; `threading` does not know the one which does so."""
    threading.Thread(target=feed.close, name="cafx-close", daemon=False).start()


class BatchLayer(Layer):
    """Base class of layers whose tops are batches of data and optionally labels; it has no backward pass.

    Bottoms: none. Tops: data, and labels if a second top is named.

    Subclasses implement `make_source`, which also returns the shapes of the first batch. The state of the
    layer is the number of batches handed out. Random draws for a batch come from the stream of the layer's
    name and the batch's number, so that a resumed run reads the same batches. Processes that train together are
    dealt the items of one order: rank r of R reads items r, r + R, …
    """

    bottoms: ClassVar[Arity] = 0
    tops: ClassVar[Arity] = (1, 2)
    deterministic = False
    keeps_state = True
    forward_only = True
    capturable = False

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Create the source, and return it with the initial shapes of the tops.

        Raises:
            CafxError: options are not valid, or data are missing or damaged.
        """
        raise NotImplementedError

    def failure(self) -> Callable[..., CafxError]:
        """A function like `error` that a source can keep, as it does not refer to the layer."""
        where = self.where
        return lambda message, **details: CafxError(message, where=where, **details)

    @property
    def prefetch(self) -> int:
        """Number of batches to prepare in advance."""
        return DEFAULT_PREFETCH

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Open the source and give the tops their initial shapes."""
        try:
            source, shapes = self.make_source(top)
        except CafxError as error:
            raise error.at(self.where) from error.__cause__
        warn_of_unread(self)
        context = self.context
        self.feed = Feed(source, self.prefetch, context.dtype, context.staging(), context.communicator)
        self._closer = weakref.finalize(self, close_apart, self.feed)
        self._closer.atexit = False  # the process's threads and files end with it
        for blob, shape in zip(top, shapes, strict=True):
            blob.reshape(*shape)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Do nothing: the tops take their shapes from the batches."""

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Hand out the next batch without copying it; 8-bit images become floats where they are read."""
        for blob, array in zip(top, self.next_batch().arrays, strict=True):
            if blob.shape != array.shape:
                blob.reshape(*array.shape)
            if isinstance(array, Images):
                blob.synced_data.mark_written(IMAGES, array)
            else:
                blob.synced_data.mark_written(HOST, array.reshape(-1))
        sent = self.feed.sent
        if sent is not None:
            sent.arrive()
            for blob, array in zip(top, sent.arrays, strict=True):
                blob.synced_data.mark_current(sent.place, array)

    def next_batch(self) -> Batch:
        """The next batch.

        Raises:
            CafxError: an error of the source, located at this layer, with its cause.
        """
        try:
            return self.feed.next()
        except CafxError as error:
            raise error.at(self.where) from error.__cause__
        except MemoryError:
            raise
        except Exception as error:
            raise self.error(f"its data cannot be read: {type(error).__name__}: {error}") from error

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Do nothing: there are no bottoms."""

    def agreement(self) -> str:
        """The number of items."""
        return f"{self.feed.source.epoch} items"

    def state(self) -> dict[str, Any]:
        """The number of batches handed out, and, if there are several, that of the processes that share the items."""
        ranks = self.context.communicator.size
        return {"batches": self.feed.batches} | ({"ranks": ranks} if ranks > 1 else {})

    def restore(self, state: dict[str, Any]) -> None:
        """Continue after that number of batches.

        If the items are shared by another number of processes now, continue where the next epoch begins.

        Raises:
            CafxError: it is no number of batches.
        """
        batches, ranks = state.get("batches"), state.get("ranks", 1)
        counts = batches, ranks
        if not all(isinstance(each, int) and 0 <= each < MOST_BATCHES for each in counts) or not ranks:
            raise self.error("cannot continue", found=f"batch {batches!r}", expected="the number of a batch")
        if ranks != self.context.communicator.size:
            batches = self._dealt_anew(batches * ranks)
        self.feed.seek(batches)

    def _dealt_anew(self, done: int) -> int:
        """The number of batches per process at the border of the epoch that follows ``done`` batches of all."""
        source, ranks = self.feed.source, self.context.communicator.size
        if not source.epoch or not source.batch_size:
            return -(-done // ranks)
        epochs = -(-done * source.batch_size // source.epoch)
        log.warning("%s: the items are dealt to %d processes from epoch %d on", self.where, ranks, epochs + 1)
        return -(-epochs * source.epoch // (source.batch_size * ranks))

    def close(self) -> None:
        """Stop prefetching and release files and databases."""
        if hasattr(self, "_closer") and self._closer.detach():
            self.feed.close()
