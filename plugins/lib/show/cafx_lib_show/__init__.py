"""Nets, blobs and solvers as text, and as tables and pictures in notebooks.

The kernel finds this as the role ``show``: ``net.summary()`` and the display of a net, blob or solver at the end of a
notebook's cell are made here. Names are escaped; rows, values and points are limited in number.
"""

from cafx_lib_show.curve import Curve
from cafx_lib_show.notebook import html
from cafx_lib_show.table import summary

__version__ = "0.1.0"
__all__ = ["Curve", "html", "summary"]
