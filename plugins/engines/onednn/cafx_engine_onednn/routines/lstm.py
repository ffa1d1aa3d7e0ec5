"""LSTM."""

from __future__ import annotations

from typing import ClassVar

from .recurrent import Recurrent


class LSTM(Recurrent):
    """The hidden states of all steps are y."""

    cell: ClassVar[str] = "LSTM"
    gates: ClassVar[int] = 4
    states: ClassVar[int] = 2
