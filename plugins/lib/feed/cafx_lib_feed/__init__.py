"""Shared by data layers and tools: databases, Datums, images, transformations and prefetching.

Import from the modules: ``from cafx_lib_feed.layer import BatchLayer``.
"""

__version__ = "0.1.0"
