"""Checks of options and of ground truth."""

from __future__ import annotations

from cafx.kernel import Blob, Layer
from cafx_lib_ssd import GroundTruth
from cafx_loss_multiboxloss.options import MultiBoxLossParameter

LOGISTIC = MultiBoxLossParameter.ConfLossType.LOGISTIC
Mining = MultiBoxLossParameter.MiningType


def mining_of(layer: Layer) -> Mining:
    """The layer's kind of mining, if its options are valid.

    Raises:
        CafxError: an option is missing or contradicts another.
    """
    options: MultiBoxLossParameter = layer.options
    if not options.num_classes:
        raise layer.error("num_classes must be given", expected="multibox_loss_param { num_classes: … }")
    mining = options.mining_type
    if options.has("do_neg_mining") and options.do_neg_mining != (mining != Mining.NONE):
        if options.has("mining_type") or options.do_neg_mining:
            raise layer.error("do_neg_mining contradicts mining_type", remedy="leave do_neg_mining out")
        mining = Mining.NONE
    if mining != Mining.NONE and not options.share_location:
        raise layer.error("mining needs share_location", remedy="set mining_type: NONE")
    if mining == Mining.HARD_EXAMPLE and options.sample_size < 1:
        raise layer.error("sample_size must be positive", found=options.sample_size)
    if options.background_label_id >= options.num_classes and options.conf_loss_type != LOGISTIC:
        found, expected = options.background_label_id, f"less than {options.num_classes}"
        raise layer.error("background_label_id is no class", found=found, expected=expected)
    if options.map_object_to_agnostic and options.background_label_id + 1 >= options.num_classes:
        raise layer.error("map_object_to_agnostic needs a class after the background", found=options.num_classes)
    return mining


def objects(layer: Layer, blob: Blob, images: int) -> GroundTruth:
    """The objects that count, in an agnostic loss all of the class after the background.

    Args:
        layer: the layer.
        blob: rows of ground truth.
        images: number of images in the batch.

    Raises:
        CafxError: an object's image or class is not valid.
    """
    options: MultiBoxLossParameter = layer.options
    truth = GroundTruth.of(blob.host())
    background, classes = options.background_label_id, options.num_classes
    wrong = (truth.labels == background) | (truth.labels < 0)
    wrong |= (truth.labels >= classes) & (not options.map_object_to_agnostic)
    if wrong.any():
        expected = f"0 to {classes - 1}, other than {background}"
        raise layer.error("the class of an object is not valid", found=truth.labels[wrong][0], expected=expected)
    if len(truth) and not 0 <= truth.images.min() <= truth.images.max() < images:
        found, expected = f"{truth.images.min()} to {truth.images.max()}", f"0 to {images - 1}"
        raise layer.error("the image of an object is not in the batch", found=found, expected=expected)
    if not options.use_difficult_gt:
        truth = truth[~truth.difficult]
    return truth.relabelled(background + 1) if options.map_object_to_agnostic else truth
