"""DetectionEvaluate: true and false positives of detections, and their average precision (SSD)."""

from cafx_layer_detectionevaluate.layer import DetectionEvaluate
from cafx_layer_detectionevaluate.options import DetectionEvaluateParameter

__all__ = ["DetectionEvaluate", "DetectionEvaluateParameter"]
