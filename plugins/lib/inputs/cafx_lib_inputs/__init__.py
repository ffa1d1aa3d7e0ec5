"""Image files as inputs of deploy nets: finding files, scoring, selective search."""

from cafx_lib_inputs.files import find_images
from cafx_lib_inputs.models import NamedModel, named_model
from cafx_lib_inputs.options import preprocessing_options, size_of, tell
from cafx_lib_inputs.proposals import selective_search
from cafx_lib_inputs.scorer import Scorer

__all__ = [
    "NamedModel",
    "Scorer",
    "find_images",
    "named_model",
    "preprocessing_options",
    "selective_search",
    "size_of",
    "tell",
]
