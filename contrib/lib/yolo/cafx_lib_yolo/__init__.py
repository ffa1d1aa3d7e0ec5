"""Shared by YOLO's layers: predictions on a grid, objects of a batch, overlaps, and the frame of the losses."""

from cafx_lib_yolo.detections import Detections, DetectionsLayer
from cafx_lib_yolo.grid import Grid, cell_anchors, logistic, pixel_anchors, relative
from cafx_lib_yolo.loss import Assigned, YoloLoss
from cafx_lib_yolo.objects import Objects, rounds
from cafx_lib_yolo.overlap import Overlap

__version__ = "0.1.0"
__all__ = [
    "Assigned",
    "Detections",
    "DetectionsLayer",
    "Grid",
    "Objects",
    "Overlap",
    "YoloLoss",
    "cell_anchors",
    "logistic",
    "pixel_anchors",
    "relative",
    "rounds",
]
