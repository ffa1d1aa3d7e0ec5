"""Images with a label for each pixel.

Import from the modules: ``from cafx_lib_segmented.source import SegmentedSource``.
"""

__version__ = "0.1.0"
