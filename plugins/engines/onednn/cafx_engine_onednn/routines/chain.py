"""A net around a layer, for conformance cases of routines that need neighbours."""

from __future__ import annotations

CONVOLUTION = 'num_output: 16 kernel_size: 3 weight_filler { type: "xavier" }'
NET = """
layer {{ name: "data" type: "Input" top: "data" input_param {{ shape {{ dim: 2 dim: 16 dim: 8 dim: 8 }} }} }}
layer {{ name: "conv" type: "Convolution" bottom: "data" top: "conv" convolution_param {{ {convolution} }} }}
layer {{ name: "subject" bottom: "conv" top: "{top}" {layer} }}
layer {{ name: "last" type: "Pooling" bottom: "{top}" top: "last" pooling_param {{ kernel_size: 2 pool: AVE }} }}
"""


def chain(layer: str, top: str = "subject") -> str:
    """A net in which a layer is between a convolution and a pooling, so that its memory is not row-major.

    Args:
        layer: type and options of the layer, as prototxt.
        top: its top; ``conv`` for in place.
    """
    return NET.format(layer=layer, top=top, convolution=CONVOLUTION)
