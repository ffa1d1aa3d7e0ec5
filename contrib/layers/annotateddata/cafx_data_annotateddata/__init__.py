"""AnnotatedData: batches of images and their boxes from a database, with SSD's augmentation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from cafx.kernel import Blob, TransformationParameter
from cafx_data_annotateddata.labels import BoxLabels, YoloLabels
from cafx_data_annotateddata.options import AnnotatedDataParameter
from cafx_data_annotateddata.source import AnnotatedSource
from cafx_data_data import DataParameter
from cafx_lib_annotated.policies import Policies
from cafx_lib_annotated.transform import AnnotatedTransformer
from cafx_lib_feed.layer import BatchLayer
from cafx_lib_feed.prefetch import Source
from cafx_lib_feed.shards import open_all
from cafx_lib_ssd import AnnotatedDatum, LabelMap, read_label_map

if TYPE_CHECKING:
    from cafx.conformance import Case

__version__ = "0.1.0"


class AnnotatedData(BatchLayer):
    """Images and their boxes from a database of AnnotatedDatums, transformed according to transform_param.

    Bottoms: none. Tops: data N×C×H×W, and boxes 1×1×K×8, where K is the number of boxes in the batch and a row
    is (item, label, instance, xmin, ymin, xmax, ymax, difficult) with coordinates as fractions of the image; for
    a batch without boxes, one row of -1. With yolo_data_type 1, N×1×300×5: for each image, rows (label - 1, centre x,
    centre y, width, height) and then zeros; difficult boxes are left out without train_diffcult, as are those beyond
    300. If neither the first record nor anno_type gives a kind of annotation, the second top has the Datums' labels,
    N×1×1×1. No gradient.

    Each image is, in this order: distorted in colour (distort_param), placed on a larger canvas filled with the
    mean (expand_param), cut to a random window (batch_sampler; for YOLO without it, yolo_data_jitter), resized
    (resize_param), degraded (noise_param), cropped (crop_size, or crop_h and crop_w; at random in TRAIN phase, else
    at the centre), mirrored, and written as (x - mean) · scale. Boxes follow; those outside a cut are dropped, or as
    emit_constraint says. The database is chosen and read as by Data. With batch_size 1, images may differ in size.
    Of several resize_params (MobileNet-YOLO), one is drawn for each batch with its prob, for all images alike; the
    probabilities add up to 1.

    Raises:
        CafxError: a database that is missing, empty, damaged, locked or of another kind; an item that is not an
            AnnotatedDatum, or has another shape, no boxes or an unknown label; options that contradict each
            other; a mean or crop that does not match.

    Source: Liu et al., "SSD: Single Shot MultiBox Detector", 2016, section 2.2; weiliu89/caffe, branch ssd. There,
    bounds of a sample_constraint may be satisfied by different boxes, and hues are cut off at red. YOLO's rows and
    windows: eric612/MobileNet-YOLO.
    """

    Parameter = AnnotatedDataParameter
    declares = (DataParameter, TransformationParameter, AnnotatedDatum, LabelMap)
    options: AnnotatedDataParameter

    def make_source(self, top: list[Blob]) -> tuple[Source, list[tuple[int, ...]]]:
        """Open the database and infer the shapes from its first image."""
        options, data = self.options, self.data
        if not data.source or not data.batch_size:
            raise self.error("source and batch_size must be set", expected="both in data_param")
        classes = [each.label for each in self.label_map().item]
        labels = YoloLabels(options.train_diffcult) if options.yolo_data_type else BoxLabels()
        policies = Policies(self.read(TransformationParameter), self._steps, self.failure())
        dynamic = data.batch_size == 1 or policies.several or (len(top) > 1 and not options.yolo_data_type)
        self.dynamic_shape = dynamic  # type: ignore[misc]  # depends on the instance
        database = self.context.plugins.load("database", data.database or data.backend.name)
        reader = open_all(data.source, database.open)
        kind = True if options.has("anno_type") else None
        try:
            source = AnnotatedSource(
                reader, data, self.context.streams, self.name, policies, len(top) > 1, kind, classes, labels
            )
        except Exception:
            reader.close()
            raise
        return source, source.shapes

    def _steps(self, transform: TransformationParameter) -> AnnotatedTransformer:
        """The transformation for a transform_param with one resize_param at most."""
        options = self.options
        jitter = options.yolo_data_jitter if options.yolo_data_type else None
        return AnnotatedTransformer(
            transform, options.batch_sampler, self.phase, self.failure(), self.context.dtype, jitter
        )

    def label_map(self) -> LabelMap:
        """The map in label_map_file; an empty one without it."""
        path = self.options.label_map_file
        return read_label_map(path, self.context.plugins) if path else LabelMap()

    @property
    def data(self) -> DataParameter:
        """The layer's data_param."""
        return self.read(DataParameter)

    @property
    def prefetch(self) -> int:
        """See `BatchLayer`."""
        return self.data.prefetch

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Raw and encoded images, with and without boxes, with every transformation."""
        from cafx.conformance import Case
        from cafx_data_annotateddata import samples

        yield from samples.cases(Case)
