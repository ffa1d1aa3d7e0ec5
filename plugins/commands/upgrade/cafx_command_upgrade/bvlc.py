"""Nets and solvers of forks in terms of BVLC's Caffe, where that loses nothing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from cafx.kernel import CafxError, Net, Phase, Registry
from cafx.kernel.registry import installed
from cafx.kernel.schema import Schema, schema
from cafx_lib_hints.known import Known
from cafx_lib_hints.listed import Listed
from cafx_lib_hints.needs import needs_of

Rewrite = Callable[[Any, int], "str | None"]


def to_bvlc(proto: Any, source: str, plugins: Registry) -> bool:
    """Rewrite a NetParameter or SolverParameter in place, so that BVLC's Caffe reads it.

    Args:
        proto: the message, upgraded to the current format.
        source: its file, for errors.
        plugins: the plugins that read it.

    Returns:
        Whether anything changed.

    Raises:
        CafxError: something that BVLC's Caffe lacks cannot be rewritten without loss; all of it is listed.
    """
    rewritten, left = 0, []
    channels = _channels(proto, plugins)
    for layer in getattr(proto, "layer", ()):
        rewrite = REWRITES.get(layer.type)
        reason = rewrite(layer, channels.get(layer.name, 0)) if rewrite else None
        rewritten += rewrite is not None
        left += [f"layer '{layer.name}': {reason}"] if reason else []
    left += _foreign(proto, plugins)
    if left:
        message = f"{len(left)} things have no counterpart without loss in BVLC's Caffe"
        raise Listed(message, left, where=source, remedy="nothing was written")
    return rewritten > 0


def caffe_schema() -> Schema:
    """The schema of BVLC's Caffe: of the first-party plugins, without dialects."""
    folders = Known.read().folders
    points = [each for each in installed() if each.dist and folders.get(each.dist.name, "").startswith("plugins/")]
    return schema(Registry(points))


def _foreign(proto: Any, plugins: Registry) -> list[str]:
    """The fields, values and layer types that BVLC's Caffe lacks."""
    caffe = caffe_schema()
    text = schema(plugins).to_text(proto)
    needs = [each.message for each in needs_of(text, caffe[proto.DESCRIPTOR.name].DESCRIPTOR)]
    table = Known.read()
    types = dict.fromkeys(layer.type for layer in getattr(proto, "layer", ()))
    known = {name for kind, name in table.providers if kind == "layer" and not table.fork(kind, name)}
    return needs + [f"unknown layer type '{name}'" for name in types if name not in known]


def _channels(proto: Any, plugins: Registry) -> dict[str, int]:
    """The channels of the first bottom of each layer that is to be rewritten; none if there are no such layers."""
    names = [layer.name for layer in getattr(proto, "layer", ()) if layer.type in NEEDS_CHANNELS]
    if not names:
        return {}
    found: dict[str, int] = {}
    for phase in Phase:
        try:
            with Net(proto, phase, plugins=plugins, keep="all") as net:
                for layer, bottoms in zip(net.layer_names, net.bottoms, strict=True):
                    if bottoms and len(bottoms[0].shape) > 1:
                        found[layer] = bottoms[0].shape[1]
        except CafxError:
            continue  # its data are not here, or it is for the other phase: the layer is then reported
    return found


def _relu6(layer: Any, channels: int) -> str | None:
    slope = layer.relu6_param.negative_slope if layer.HasField("relu6_param") else 0
    if slope:
        return "ReLU6 with a negative slope has no counterpart"
    layer.ClearField("relu6_param")
    layer.type = "Clip"
    layer.clip_param.min, layer.clip_param.max = 0, 6
    return None


def _depthwise(layer: Any, channels: int) -> str | None:
    """A convolution with one group per channel; its weights have the same shapes."""
    convolution = layer.convolution_param
    if layer.type == "ConvolutionDepthwise":
        if not channels:
            return "the number of its channels is not known, since the net cannot be built here"
        convolution.num_output = convolution.group = channels
    layer.type = "Convolution"
    return None


REWRITES: dict[str, Rewrite] = {"ReLU6": _relu6, "DepthwiseConvolution": _depthwise, "ConvolutionDepthwise": _depthwise}
NEEDS_CHANNELS = ("ConvolutionDepthwise",)
