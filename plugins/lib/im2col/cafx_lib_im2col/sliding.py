"""SlidingLayer: the base class of Convolution and Deconvolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text
from cafx_lib_im2col.options import ConvolutionParameter, checked_outputs, read_window
from cafx_lib_im2col.window import Shape, col2im, im2col


class SlidingLayer(Layer):
    """Weights sliding over images: what a convolution and its transpose share.

    *Images*, N×(C, spatial…), are a convolution's bottoms and a deconvolution's tops; *maps*,
    N×(M, outputs…), are the other side. Both directions are matrix products with the images' columns,
    which are computed for as many images at a time as the engine's ``buffer_values`` allows: that bounds
    memory and keeps products large.

    Read by engines:
        window: `Window` with kernel, stride, pad and dilation per spatial axis.
        channel_axis: index of the channel axis of bottoms and tops.
    """

    Parameter = ConvolutionParameter
    options: ConvolutionParameter
    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    transposed: ClassVar[bool] = False
    may_skip_padding: ClassVar[bool] = True
    """Padding is multiplied like other zeros here, so that a NaN weight gives NaN at borders; engines need not."""

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the window; create weights of shape M × C / group × kernel… and, with bias_term, a bias."""
        options, group, outputs = self.options, self.options.group, self.options.num_output
        if not outputs:
            raise self.error("num_output is missing", expected="convolution_param { num_output: … kernel_size: … }")
        self.channel_axis = self.axis(bottom[0], options.axis)
        self.window = read_window(self, bottom[0].num_axes - self.channel_axis - 1)
        self.inputs = bottom[0].shape[self.channel_axis]
        if not self.inputs or self.inputs % group or outputs % group:
            found = f"{self.inputs} channels in, {outputs} out"
            raise self.error("channels are not divisible by group", found=found, expected=f"multiples of {group}")
        self.pointwise = {*self.window.kernel, *self.window.stride} <= {1} and not any(self.window.pad)
        maps, channels = (self.inputs, outputs) if self.transposed else (outputs, self.inputs)
        self.add_parameter((maps, channels // group, *self.window.kernel), options.weight_filler)
        if options.bias_term:
            self.add_parameter((outputs,), options.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Each top has num_output channels and the window's output positions as spatial axes."""
        shape, axis, axes = bottom[0].shape, self.channel_axis, len(self.window.kernel)
        if len(shape) != axis + 1 + axes or shape[axis] != self.inputs:
            raise self.error(
                "axes or channels of the bottom have changed since setup",
                found=shape_text(shape),
                expected=f"{axis + 1 + axes} axes, {self.inputs} channels at axis {axis}",
            )
        for each in bottom[1:]:
            self.require_shape(each, shape, f"bottom '{each.name}'")
        self.result: Shape = (self.options.num_output, *self.top_sizes(shape[axis + 1 :]))
        for each in top:
            each.reshape(*shape[:axis], *self.result)
        self.batch = math.prod(shape[:axis])
        self.image: Shape = self.result if self.transposed else shape[axis:]
        self.map: Shape = shape[axis:] if self.transposed else self.result
        self.column = self.image[0] * math.prod(self.window.kernel)

    def top_sizes(self, sizes: Shape) -> Shape:
        """The top's spatial axes, given the bottom's."""
        return checked_outputs(self, self.window, sizes)

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """One per weight, output position and image."""
        return len(bottom) * self.batch * math.prod(self.map[1:]) * self.blobs[0].count_

    def correlate(self, images: Any, maps: Any) -> None:
        """maps = W · columns(images)."""
        weights = self._grouped(self.blobs[0].data, self.map[0])
        if self.pointwise:
            self.xp.matmul(weights, self._flat(images, self.image), out=self._flat(maps, self.map))
            return
        images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
        for part in self._parts():
            columns, result = self._columns(images[part]), maps[part]
            product = self.workspace((*weights.shape[:2], columns.shape[2]), "maps")
            self.xp.matmul(weights, columns, out=product)
            result[...] = product.reshape(self.map[0], len(result), *self.map[1:]).swapaxes(0, 1)

    def spread(self, maps: Any, images: Any) -> None:
        """images = col2im(Wᵀ · maps), the adjoint of `correlate`."""
        weights = self._grouped(self.blobs[0].data, self.map[0]).swapaxes(1, 2)
        if self.pointwise:
            self.xp.matmul(weights, self._flat(maps, self.map), out=self._flat(images, self.image))
            return
        images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
        for part in self._parts():
            columns = self._column_buffer(images[part].shape[0])
            self.xp.matmul(weights, self._by_channel(maps[part]), out=self._grouped(columns, self.column))
            col2im(self._by_image(columns), images[part], self.window)

    def add_gradients(self, images: Any, maps: Any, dtop: Any) -> None:
        """dW += maps · columns(images)ᵀ; db += Σ dtop over all axes but the channels.

        The batch is summed before it is added, so that two batches give the same bits as two processes with one each.
        """
        if self.param_propagate_down[0]:
            dw = self._grouped(self.blobs[0].mutable_diff, self.map[0])
            images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
            whole: Any = None
            for part in self._parts():
                columns = self._columns(images[part])
                product = self.xp.matmul(self._by_channel(maps[part]), columns.swapaxes(1, 2))
                whole = product if whole is None else self.xp.add(whole, product, out=whole)
            if whole is not None:
                dw += whole
        if self.options.bias_term and self.param_propagate_down[1]:
            flat = dtop.reshape(self.batch, self.result[0], math.prod(self.result[1:]))
            self.blobs[1].mutable_diff[...] += flat.sum(axis=(0, 2))

    def add_bias(self, top: Any) -> None:
        """top += b, per channel."""
        if self.options.bias_term:
            top += self.blobs[1].data.reshape(-1, *(1 for _ in self.window.kernel))

    def _parts(self) -> Iterator[slice]:
        """Slices of the batch whose columns have about ``buffer_values`` values."""
        step = max(1, self.context.buffer_values // max(1, self.column * math.prod(self.map[1:])))
        return (slice(start, start + step) for start in range(0, self.batch, step))

    def _grouped(self, array: Any, rows: int) -> Any:
        """View as group × rows / group × rest."""
        return array.reshape(self.options.group, rows // self.options.group, -1)

    def _flat(self, array: Any, side: Shape) -> Any:
        """View as N × group × channels / group × positions; a pointwise kernel's columns are its image."""
        group = self.options.group
        return array.reshape(self.batch, group, side[0] // group, math.prod(side[1:]))

    def _by_channel(self, maps: Any) -> Any:
        """A copy of the maps with channels outermost, by group."""
        transposed = self.workspace((self.map[0], maps.shape[0], *self.map[1:]), "maps")
        transposed[...] = maps.swapaxes(0, 1)
        return self._grouped(transposed, self.map[0])

    def _column_buffer(self, images: int) -> Any:
        """Scratch buffer for the columns of ``images`` images: C × kernel… × images × outputs…."""
        return self.workspace((self.image[0], *self.window.kernel, images, *self.map[1:]), "columns")

    def _by_image(self, columns: Any) -> Any:
        return self.xp.moveaxis(columns, -len(self.map), 0)

    def _columns(self, images: Any) -> Any:
        """Columns as group × C / group · kernel × images · outputs."""
        columns = self._column_buffer(images.shape[0])
        im2col(images, self._by_image(columns), self.window)
        return self._grouped(columns, self.column)
