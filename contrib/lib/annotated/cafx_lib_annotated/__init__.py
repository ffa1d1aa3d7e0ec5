"""Annotated images as SSD reads and writes them.

Import from the modules: ``from cafx_lib_annotated.records import read_record``.
"""

__version__ = "0.1.0"
