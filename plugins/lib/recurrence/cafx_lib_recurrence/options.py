"""The options RNN and LSTM have in common."""

from __future__ import annotations

from cafx.kernel import FillerParameter, Message, message, option


@message("recurrent_param", 146)
class RecurrentParameter(Message):
    """Options of RNN and LSTM."""

    num_output: int = option(1, "uint32", 0, doc="H, the length of the output and of a hidden state")
    weight_filler: FillerParameter = option(2, FillerParameter, doc="how the weights start")
    bias_filler: FillerParameter = option(3, FillerParameter, doc="how the biases start")
    debug_info: bool = option(4, "bool", False, doc="read and ignored: no inner net needs watching")
    expose_hidden: bool = option(
        5, "bool", False, doc="first hidden states come as bottoms, the last ones go out as tops"
    )
