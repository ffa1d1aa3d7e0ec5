"""The steps of R-CNN around the net: crops of windows, support vector machines, box regression, average precision."""

import warnings
from typing import NamedTuple

import cv2
import numpy as np
from data import MEAN, SCALE, warped
from net import CLASSES
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import Ridge
from sklearn.svm import LinearSVC

from cafx_lib_boxes import average_precision, decode, encode, overlaps, suppress

NEGATIVE = 0.3  # a window is a negative of a class if it overlaps none of its digits more
NEAR = 0.6  # overlap from which box regression learns from a window
NORM = 20.0  # mean norm of the features that the machines see
FIRST, ROUNDS, HARD = 2000, 3, -1.0  # negatives to begin with, rounds of mining, score of a hard negative
COST, WEIGHT = 1e-2, 2.0  # of an error, and how much more one on a digit costs
SHRINKAGE = 300.0
SUPPRESS = 0.3  # overlap from which the weaker of two detections of a class is dropped
HIT = 0.5
UNIT = np.ones(4)


class Found(NamedTuple):
    """A detection: picture, class, score and box."""

    picture: int
    label: int
    score: float
    box: np.ndarray


def crops(path, windows):
    """The net's input for windows of a picture: warped with context, minus the mean, as by WindowData."""
    image = cv2.imread(str(path))
    bytes_of = np.stack([warped(image, window) for window in windows.tolist()])
    return (bytes_of - np.float32(MEAN)) * np.float32(SCALE)


def overlaps_per_class(windows, labels, boxes):
    """Largest overlap of each window with a digit of each class: N×10."""
    common, best = overlaps(windows.astype(float), boxes.astype(float)), np.zeros((len(windows), CLASSES))
    for column, label in zip(common.T, labels, strict=True):
        best[:, label] = np.maximum(best[:, label], column)
    return best


def machine(positives, negatives, rng):
    """A linear support vector machine, trained with hard negatives.

    Args:
        positives: features of the digits of a class, N×D.
        negatives: features of all windows that are none, M×D.
        rng: draws the negatives to begin with.

    Returns:
        D weights, the bias, and the number of negatives that were used.
    """
    scale = NORM / np.linalg.norm(negatives, axis=1).mean()
    used = np.zeros(len(negatives), bool)
    used[rng.permutation(len(negatives))[:FIRST]] = True
    for _ in range(ROUNDS):
        svm = LinearSVC(C=COST, loss="hinge", class_weight={1: WEIGHT}, intercept_scaling=10, random_state=0)
        features = np.concatenate([positives, negatives[used]]) * scale
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            svm.fit(features, np.arange(len(features)) < len(positives))
        weights, bias = svm.coef_[0] * scale, float(svm.intercept_[0])
        hard = (negatives @ weights + bias > HARD) & ~used
        if not hard.any():
            break
        used |= hard
    return weights, bias, int(used.sum())


def regression(features, windows, boxes):
    """Ridge regression of the offsets of digits from the windows near them.

    Args:
        features: of the windows, N×D.
        windows, boxes: N×4, a window and the digit that it overlaps.

    Returns:
        4×D weights and 4 biases, which predict dx, dy, dw and dh.
    """
    fitted = Ridge(SHRINKAGE).fit(features, encode(boxes.astype(float), windows.astype(float), UNIT, "CENTER_SIZE"))
    return fitted.coef_, fitted.intercept_


def detections(number, windows, scores, least, offsets=None):
    """What is left of a picture's windows: boxes moved, and of those that overlap the strongest, class by class.

    Args:
        number: of the picture.
        windows: N×4.
        scores: N×10.
        least: smallest score.
        offsets: N×40 of box regression, if any.
    """
    found = []
    for label in range(CLASSES):
        boxes = windows.astype(float)
        if offsets is not None:
            boxes = decode(offsets[:, 4 * label : 4 * label + 4].astype(float), boxes, UNIT, "CENTER_SIZE")
        kept = suppress(boxes, scores[:, label], SUPPRESS, above=least)
        found += [Found(number, label, float(scores[index, label]), boxes[index]) for index in kept]
    return found


def mean_average_precision(found, truth, hit=HIT):
    """The mean over the classes of the average precision, as PASCAL VOC 2012 has it.

    Args:
        found: detections.
        truth: labels and boxes per picture.
        hit: overlap from which a detection is right.
    """
    return float(np.mean([precision_of_class(found, truth, label, hit) for label in range(CLASSES)]))


def precision_of_class(found, truth, label, hit):
    """The average precision of a class; of several detections of a digit, the first is right."""
    own = [boxes[labels == label] for labels, boxes in truth]
    taken = [np.zeros(len(boxes), bool) for boxes in own]
    scores, true = [], []
    for each in sorted((one for one in found if one.label == label), key=lambda one: -one.score):
        scores.append(each.score)
        common = overlaps(each.box[None].astype(float), own[each.picture].astype(float))[0]
        best = common.argmax() if len(common) else -1
        right = best >= 0 and common[best] >= hit and not taken[each.picture][best]
        if right:
            taken[each.picture][best] = True
        true.append(right)
    true = np.array(true, bool)
    return average_precision(scores, true, ~true, sum(map(len, own)), "MaxIntegral")
