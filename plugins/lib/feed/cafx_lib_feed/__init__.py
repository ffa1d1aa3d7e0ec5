"""What data layers share: databases, Datums, images, transformations and prefetching.

Import from its modules: ``from cafx_lib_feed.layer import BatchLayer``.
"""

__version__ = "0.1.0"
