"""The options of layers that slide a window, and the window they state by Caffe's rules."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, Layer, Message, above, message, option
from cafx.kernel.blob import shape_text
from cafx_layer_im2col.window import Shape, Window


@message("convolution_param", 106)
class ConvolutionParameter(Message):
    """Options of Convolution, Deconvolution and Im2col."""

    class Engine(IntEnum):
        """Which of Caffe's implementations; cafx chooses by its own engine."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    num_output: int = option(1, "uint32", doc="number of output channels", check=above(0))
    bias_term: bool = option(2, "bool", True, doc="add a bias to each output channel")
    pad: Shape = option(3, "uint32", repeated=True, doc="zeros around, once or once an axis; none: 0")
    kernel_size: Shape = option(4, "uint32", repeated=True, doc="window, once or once an axis")
    stride: Shape = option(6, "uint32", repeated=True, doc="its step, once or once an axis; none: 1")
    dilation: Shape = option(18, "uint32", repeated=True, doc="step within it, once or once an axis; none: 1")
    pad_h: int = option(9, "uint32", 0, doc="pad of the first of two axes")
    pad_w: int = option(10, "uint32", 0, doc="pad of the second of two axes")
    kernel_h: int = option(11, "uint32", doc="window along the first of two axes")
    kernel_w: int = option(12, "uint32", doc="window along the second of two axes")
    stride_h: int = option(13, "uint32", doc="stride along the first of two axes")
    stride_w: int = option(14, "uint32", doc="stride along the second of two axes")
    group: int = option(5, "uint32", 1, doc="parts the channels fall into, each on its own", check=above(0))
    weight_filler: FillerParameter = option(7, FillerParameter, doc="how the weights start")
    bias_filler: FillerParameter = option(8, FillerParameter, doc="how the bias starts")
    engine: Engine = option(15, Engine, Engine.DEFAULT, doc="read and ignored")
    axis: int = option(16, "int32", 1, doc="axis of the channels; those behind it are spatial")
    force_nd_im2col: bool = option(17, "bool", False, doc="read and ignored: one routine serves all")


def read_window(layer: Layer, axes: int) -> Window:
    """The window that the layer's ConvolutionParameter states for ``axes`` spatial axes.

    Raises:
        CafxError: kernel or stride missing or zero, too many or too few numbers, or both forms.
    """

    def lengths(name: str, stem: str, least: int, absent: Shape) -> Shape:
        stated: Shape = getattr(layer.options, name)
        pair = f"{stem}_h", f"{stem}_w"
        if any(map(layer.options.has, pair)):
            if stated or axes != 2:
                raise layer.error(
                    f"{stem}_h and {stem}_w are for two spatial axes, in place of {name}",
                    found=f"{axes} spatial axes, {name}: {list(stated)}", expected=f"{name} alone",
                )  # fmt: skip
            stated = tuple(getattr(layer.options, each) or 0 for each in pair)
        elif len(stated) < 2:
            stated = (stated or absent) * axes
        if len(stated) != axes or min(stated, default=least) < least:
            raise layer.error(
                f"{name} does not fit the bottom's {axes} spatial axes", found=list(stated),
                expected=f"one number, or one an axis, of at least {least}",
            )  # fmt: skip
        return stated

    return Window(
        lengths("kernel_size", "kernel", 1, ()), lengths("stride", "stride", 1, (1,)),
        lengths("pad", "pad", 0, (0,)), lengths("dilation", "dilation", 0, (1,)),
    )  # fmt: skip


def positions(layer: Layer, window: Window, inputs: Shape) -> Shape:
    """`Window.outputs`, or CafxError where the window is larger than the padded image."""
    outputs = window.outputs(inputs)
    if min(outputs, default=1) < 1:
        raise layer.error(
            "the window is larger than the padded image",
            found=f"image {shape_text(inputs)}, pad {shape_text(window.pad)}",
            expected=f"at least {shape_text(window.extent)} with the pad on both sides",
        )
    return outputs
