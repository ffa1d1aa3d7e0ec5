"""DetectionOutput: detections from box predictions and scores (SSD)."""

from cafx_layer_detectionoutput.layer import DetectionOutput
from cafx_layer_detectionoutput.options import DetectionOutputParameter, SaveOutputParameter
from cafx_layer_detectionoutput.results import Results

__all__ = ["DetectionOutput", "DetectionOutputParameter", "Results", "SaveOutputParameter"]
