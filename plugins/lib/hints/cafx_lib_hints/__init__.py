"""Explains common mistakes in prototxts, and knows which distribution provides what; a plugin of role ``hints``."""

from cafx_lib_hints.install import install_line
from cafx_lib_hints.needs import lacking, providers, remedy
from cafx_lib_hints.prototxt import explain

__version__ = "0.1.0"
__all__ = ["explain", "install_line", "lacking", "providers", "remedy"]
