"""Shared by the recurrent layers: base class, options, conformance cases and the LSTM cell."""

from cafx_lib_recurrence.options import RecurrentParameter
from cafx_lib_recurrence.recurrent import Recurrent, rows

__all__ = ["Recurrent", "RecurrentParameter", "rows"]
