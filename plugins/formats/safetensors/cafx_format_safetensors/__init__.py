"""Weights in safetensors files, the format of the Hugging Face Hub: a JSON header and raw values, no code.

See https://huggingface.co/docs/safetensors for the layout.
"""

from cafx_format_safetensors.layout import Header, Malformed, Tensor
from cafx_format_safetensors.weights import Safetensors

__version__ = "0.1.0"
__all__ = ["Header", "Malformed", "Safetensors", "Tensor"]
