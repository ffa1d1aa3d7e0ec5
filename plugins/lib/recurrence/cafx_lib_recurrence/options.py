"""Options shared by RNN and LSTM."""

from __future__ import annotations

from cafx.kernel import FillerParameter, Message, message, option


@message("recurrent_param", 146)
class RecurrentParameter(Message):
    """Options of RNN and LSTM."""

    num_output: int = option(1, "uint32", 0, doc="H, the number of outputs and of hidden units")
    weight_filler: FillerParameter = option(2, FillerParameter, doc="weight initialiser")
    bias_filler: FillerParameter = option(3, FillerParameter, doc="bias initialiser")
    debug_info: bool = option(4, "bool", False, doc="accepted for compatibility, ignored")
    expose_hidden: bool = option(
        5, "bool", False, doc="read initial hidden states from bottoms and write final ones to tops"
    )
