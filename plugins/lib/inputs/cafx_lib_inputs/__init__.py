"""Image files as inputs of deploy nets: finding files, cropping, subtracting a mean, scoring."""

from cafx_lib_inputs.files import find_images, read_labels, read_mean
from cafx_lib_inputs.proposals import selective_search
from cafx_lib_inputs.scorer import Scorer

__all__ = ["Scorer", "find_images", "read_labels", "read_mean", "selective_search"]
