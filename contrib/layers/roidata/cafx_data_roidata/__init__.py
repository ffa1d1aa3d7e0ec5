"""RoIData: images with boxes or regions, for training Fast and Faster R-CNN."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from cafx.kernel import Blob
from cafx_data_roidata.entries import (
    Entry,
    flipped,
    normalise,
    of_key,
    of_roidb,
    read_windows,
    statistics,
    with_targets,
)
from cafx_data_roidata.options import RoIDataParameter, completed
from cafx_data_roidata.source import NoSource, RegionSource, stream
from cafx_lib_feed.database import Reader, open_database
from cafx_lib_feed.layer import BatchLayer
from cafx_lib_feed.prefetch import Source
from cafx_lib_ssd import AnnotatedDatum

if TYPE_CHECKING:
    from cafx.conformance import Case

SIDE = 100
"""Height and width of the images before the first batch."""


class RoIData(BatchLayer):
    """Images, resized and minus their mean, x = s(image − mean), with objects or with regions for training.

    Bottoms: none. Tops with ``has_rpn``: data 1×3×H×W; im_info 1×3 with H, W and the scale s; gt_boxes G×5, rows
    (x1, y1, x2, y2, class) in pixels of data. Without: data N×3×H×W, smaller images padded with 0; rois R×5, rows
    (image, x1, y1, x2, y2); labels R, 0 for background; then, if they are named, offsets R×4K in the columns of
    each region's class, inside weights and outside weights, which are 1 there. No gradient.

    s makes the short side as long as one of ``scale``, drawn at random, unless the long side would exceed
    ``max_size``. Regions are drawn as by ProposalTarget. Images come in random order.
    The source is a window file as for WindowData, whose windows of overlap 1 are the objects, a database of
    AnnotatedDatums (with ``has_rpn``), or what `set_roidb` is given. The offsets of a source are normalised:
    ``bbox_means`` and ``bbox_deviations``, K×4, are needed to use what the network predicts.

    Raises:
        CafxError: options that contradict each other; a source that is missing or damaged; an image that cannot be
            read; a class that is not below ``num_classes``; no images.

    Source: Girshick, "Fast R-CNN", ICCV 2015; layer ``roi_data_layer.layer`` of rbgirshick/py-faster-rcnn.
    """

    Parameter = RoIDataParameter
    declares = (AnnotatedDatum,)
    options: RoIDataParameter
    tops = (3, 6)
    dynamic_shape = True

    @property
    def user(self) -> RoIData:
        """What pycaffe's ``net.layers`` shows: the layer, so that ``net.layers[0].set_roidb(roidb)`` works."""
        return self

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Read the list or open the database, if there is one."""
        options = completed(self.options, len(top))
        width = 4 * options.num_classes
        shapes = [(options.ims_per_batch, 3, SIDE, SIDE), (1, 5), (1,), (1, width), (1, width), (1, width)]
        if options.has_rpn:
            shapes[1:] = [(1, 3), (1, 5)]
        classes = options.num_classes
        self.bbox_means, self.bbox_deviations = np.zeros((classes, 4)), np.ones((classes, 4))
        if not options.source:
            return NoSource(self.failure()), shapes[: len(top)]
        entries, reader = self._entries()
        return self._source(entries, reader, len(top)), shapes[: len(top)]

    def set_roidb(self, roidb: Sequence[Mapping[str, Any]]) -> None:
        """Use these images from now on, as py-faster-rcnn's layer does.

        Args:
            roidb: one dictionary per image, see `entries.of_roidb`; offsets in it are used as they are.

        Raises:
            CafxError: an entry lacks what is needed.
        """
        entries = of_roidb(roidb)
        with_targets(entries, self.options.bbox_thresh)
        source = self._source(entries, None, len(self.spec.top))
        self.feed.stop()
        self.feed.source.close()
        self.feed.source = source
        self.feed.seek(0)

    def _entries(self) -> tuple[list[Entry], Reader | None]:
        """The images of the source, flipped ones included."""
        options = self.options
        reader = None
        if os.path.isdir(options.source):  # noqa: PTH112 - pathlib raises where a name is too long
            if not options.has_rpn:
                raise self.error("a database has no regions", expected="has_rpn: true, or a window file")
            reader = open_database(options.source, plugins=self.context.plugins)
            entries = list(map(of_key, reader.keys()))
        else:
            entries = read_windows(options.source, options.root_folder)
        if not options.has_rpn:
            with_targets(entries, options.bbox_thresh)
        if options.use_flipped:
            entries += flipped(entries)
        if options.normalize and not options.has_rpn:
            if options.precomputed:
                self.bbox_means[:], self.bbox_deviations[:] = options.bbox_mean, options.bbox_std
            else:
                self.bbox_means, self.bbox_deviations = statistics(entries, options.num_classes)
            normalise(entries, self.bbox_means, self.bbox_deviations)
        return entries, reader

    def _source(self, entries: Sequence[Entry], reader: Reader | None, tops: int) -> RegionSource:
        fresh = functools.partial(stream, self.context.streams.fresh, self.name)
        return RegionSource(entries, self.options, fresh, reader, tops)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Objects of files and of a database, regions in three, five and six tops, every option."""
        from cafx.conformance import Case
        from cafx_data_roidata import samples

        yield from samples.cases(Case)
