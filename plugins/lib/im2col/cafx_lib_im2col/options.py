"""Options of the layers with a sliding window, and the window they specify by Caffe's rules."""

from __future__ import annotations

from enum import IntEnum

from cafx.kernel import FillerParameter, Layer, Message, above, message, option
from cafx.kernel.blob import shape_text
from cafx_lib_im2col.window import Shape, Window


@message("convolution_param", 106)
class ConvolutionParameter(Message):
    """Options of Convolution, Deconvolution and Im2col."""

    class Engine(IntEnum):
        """Caffe's implementations; accepted for compatibility, ignored."""

        DEFAULT = 0
        CAFFE = 1
        CUDNN = 2

    num_output: int = option(1, "uint32", doc="number of output channels", check=above(0))
    bias_term: bool = option(2, "bool", True, doc="add a bias to each output channel")
    pad: Shape = option(3, "uint32", repeated=True, doc="zero padding, one value or one per axis (default 0)")
    kernel_size: Shape = option(4, "uint32", repeated=True, doc="kernel size, one value or one per axis")
    stride: Shape = option(6, "uint32", repeated=True, doc="stride, one value or one per axis (default 1)")
    dilation: Shape = option(18, "uint32", repeated=True, doc="dilation, one value or one per axis (default 1)")
    pad_h: int = option(9, "uint32", 0, doc="padding along the first of two axes, instead of pad")
    pad_w: int = option(10, "uint32", 0, doc="padding along the second of two axes, instead of pad")
    kernel_h: int = option(11, "uint32", doc="kernel height, instead of kernel_size")
    kernel_w: int = option(12, "uint32", doc="kernel width, instead of kernel_size")
    stride_h: int = option(13, "uint32", doc="stride along the first of two axes, instead of stride")
    stride_w: int = option(14, "uint32", doc="stride along the second of two axes, instead of stride")
    group: int = option(5, "uint32", 1, doc="number of independent channel groups", check=above(0))
    weight_filler: FillerParameter = option(7, FillerParameter, doc="weight initialiser")
    bias_filler: FillerParameter = option(8, FillerParameter, doc="bias initialiser")
    engine: Engine = option(15, Engine, Engine.DEFAULT, doc="accepted for compatibility, ignored")
    axis: int = option(16, "int32", 1, doc="channel axis; the axes after it are spatial")
    force_nd_im2col: bool = option(17, "bool", False, doc="accepted for compatibility, ignored")


def read_window(layer: Layer, axes: int) -> Window:
    """The window that a layer's ConvolutionParameter specifies.

    Args:
        layer: the layer, whose ``options`` are a ConvolutionParameter.
        axes: number of spatial axes of its bottom.

    Raises:
        CafxError: kernel size or stride is missing or zero, the number of values is neither 1 nor
            ``axes``, or an option is given in both of its forms.
    """

    def values(name: str, stem: str, least: int, default: Shape) -> Shape:
        given: Shape = getattr(layer.options, name)
        pair = f"{stem}_h", f"{stem}_w"
        if any(map(layer.options.has, pair)):
            if given or axes != 2:
                raise layer.error(
                    f"{stem}_h and {stem}_w need two spatial axes and no {name}",
                    found=f"{axes} spatial axes, {name}: {list(given)}",
                    expected=f"{name} alone",
                )
            given = tuple(getattr(layer.options, each) or 0 for each in pair)
        elif len(given) < 2:
            given = (given or default) * axes
        if len(given) != axes or min(given, default=least) < least:
            raise layer.error(
                f"{name} does not match the bottom's {axes} spatial axes",
                found=list(given),
                expected=f"one value, or one per axis, each at least {least}",
            )
        return given

    return Window(
        kernel=values("kernel_size", "kernel", 1, ()),
        stride=values("stride", "stride", 1, (1,)),
        pad=values("pad", "pad", 0, (0,)),
        dilation=values("dilation", "dilation", 0, (1,)),
    )


def checked_outputs(layer: Layer, window: Window, inputs: Shape) -> Shape:
    """`Window.outputs`, checked to be positive.

    Raises:
        CafxError: the window is larger than the padded image; names ``layer``.
    """
    outputs = window.outputs(inputs)
    if min(outputs, default=1) < 1:
        raise layer.error(
            "the window is larger than the padded image",
            found=f"image {shape_text(inputs)}, pad {shape_text(window.pad)}",
            expected=f"at least {shape_text(window.extent)}, padding included",
        )
    return outputs
