"""Weights that slide over images: the common base of Convolution and Deconvolution."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, ClassVar

from cafx.kernel import Blob, Layer
from cafx.kernel.blob import shape_text
from cafx_layer_im2col.options import ConvolutionParameter, positions, read_window
from cafx_layer_im2col.window import Shape, col2im, im2col

COLUMN_VALUES = 2**20


class SlidingLayer(Layer):
    """What a convolution and its transpose have in common.

    On one side are images, N × (C, spatial…), on the other maps, N × (M, window positions…): a
    convolution's bottoms and tops, a deconvolution's tops and bottoms. Both ways are a matrix product
    with the images' columns; these are made for as many images at a time as COLUMN_VALUES allows, so
    that memory stays bounded while the products are large.
    """

    Parameter = ConvolutionParameter
    options: ConvolutionParameter
    bottoms = (1, None)
    tops = (1, None)
    equal_bottoms_tops = True
    transposed: ClassVar[bool] = False

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Read the window; make weights M × C / group × kernel… and, unless bias_term is off, a bias."""
        options, group, outputs = self.options, self.options.group, self.options.num_output
        self.channel_axis = self.axis(bottom[0], options.axis)
        self.window = read_window(self, bottom[0].num_axes - self.channel_axis - 1)
        self.inputs = bottom[0].shape[self.channel_axis]
        if not outputs:
            raise self.error("num_output is missing", expected="convolution_param { num_output: … }")
        if not self.inputs or self.inputs % group or outputs % group:
            found = f"{self.inputs} channels in, {outputs} out"
            raise self.error("channels do not part into groups", found=found, expected=f"multiples of {group}")
        self.pointwise = {*self.window.kernel, *self.window.stride} <= {1} and not any(self.window.pad)
        maps, channels = (self.inputs, outputs) if self.transposed else (outputs, self.inputs)
        self.add_parameter((maps, channels // group, *self.window.kernel), options.weight_filler)
        if options.bias_term:
            self.add_parameter((outputs,), options.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Each top has num_output channels, and the spatial axes that the window makes."""
        shape, axis, axes = bottom[0].shape, self.channel_axis, len(self.window.kernel)
        if len(shape) != axis + 1 + axes or shape[axis] != self.inputs:
            raise self.error(
                "the bottom has other axes or channels than at setup", found=shape_text(shape),
                expected=f"{axis + 1 + axes} axes, {self.inputs} channels at axis {axis}",
            )  # fmt: skip
        for each in bottom[1:]:
            self.require_shape(each, shape, f"bottom '{each.name}'")
        made = (self.options.num_output, *self.top_sizes(shape[axis + 1 :]))
        for each in top:
            each.reshape(*shape[:axis], *made)
        self.batch = math.prod(shape[:axis])
        self.made: Shape = made
        self.image: Shape = made if self.transposed else shape[axis:]
        self.map: Shape = shape[axis:] if self.transposed else made
        self.column = self.image[0] * math.prod(self.window.kernel)

    def top_sizes(self, sizes: Shape) -> Shape:
        """The top's spatial axes, from the bottom's."""
        return positions(self, self.window, sizes)

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Every weight at each position of the window in each image."""
        return len(bottom) * self.batch * math.prod(self.map[1:]) * self.blobs[0].count_

    def correlate(self, images: Any, maps: Any) -> None:
        """maps = W · columns(images): each value is the weights times the window it stands for."""
        weights = self._grouped(self.blobs[0].data, self.map[0])
        if self.pointwise:
            self.xp.matmul(weights, self._flat(images, self.image), out=self._flat(maps, self.map))
            return
        images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
        for part in self._parts():
            columns, made = self._columns(images[part]), maps[part]
            product = self.workspace((*weights.shape[:2], columns.shape[2]), "maps")
            self.xp.matmul(weights, columns, out=product)
            made[...] = product.reshape(self.map[0], len(made), *self.map[1:]).swapaxes(0, 1)

    def spread(self, maps: Any, images: Any) -> None:
        """images = the columns Wᵀ · maps, added up where windows overlap: `correlate` transposed."""
        weights = self._grouped(self.blobs[0].data, self.map[0]).swapaxes(1, 2)
        if self.pointwise:
            self.xp.matmul(weights, self._flat(maps, self.map), out=self._flat(images, self.image))
            return
        images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
        for part in self._parts():
            columns = self._column_memory(images[part].shape[0])
            self.xp.matmul(weights, self._by_channel(maps[part]), out=self._grouped(columns, self.column))
            col2im(self._by_image(columns), images[part], self.window)

    def add_gradients(self, images: Any, maps: Any, dtop: Any) -> None:
        """dW += maps · columns(images)ᵀ, and db += the sum of dtop over all but its channels."""
        if self.param_propagate_down[0]:
            dw = self._grouped(self.blobs[0].mutable_diff, self.map[0])
            images, maps = images.reshape(self.batch, *self.image), maps.reshape(self.batch, *self.map)
            for part in self._parts():
                columns = self._columns(images[part])
                dw += self.xp.matmul(self._by_channel(maps[part]), columns.swapaxes(1, 2))
        if self.options.bias_term and self.param_propagate_down[1]:
            flat = dtop.reshape(self.batch, self.made[0], math.prod(self.made[1:]))
            self.blobs[1].mutable_diff[...] += flat.sum(axis=(0, 2))

    def add_bias(self, top: Any) -> None:
        """top += b, channel by channel."""
        if self.options.bias_term:
            top += self.blobs[1].data.reshape(-1, *(1 for _ in self.window.kernel))

    def _parts(self) -> Iterator[slice]:
        """Slices of the batch whose columns are about COLUMN_VALUES values."""
        step = max(1, COLUMN_VALUES // max(1, self.column * math.prod(self.map[1:])))
        return (slice(start, start + step) for start in range(0, self.batch, step))

    def _grouped(self, array: Any, rows: int) -> Any:
        """group × rows / group × the rest."""
        return array.reshape(self.options.group, rows // self.options.group, -1)

    def _flat(self, array: Any, side: Shape) -> Any:
        """N × group × channels / group × positions, for where columns and images are the same."""
        group = self.options.group
        return array.reshape(self.batch, group, side[0] // group, math.prod(side[1:]))

    def _by_channel(self, maps: Any) -> Any:
        """A copy of some maps with their channels outermost, by group."""
        turned = self.workspace((self.map[0], maps.shape[0], *self.map[1:]), "maps")
        turned[...] = maps.swapaxes(0, 1)
        return self._grouped(turned, self.map[0])

    def _column_memory(self, images: int) -> Any:
        """Room for the columns of so many images: C × kernel… × images × positions…."""
        return self.workspace((self.image[0], *self.window.kernel, images, *self.map[1:]), "columns")

    def _by_image(self, columns: Any) -> Any:
        return self.xp.moveaxis(columns, -len(self.map), 0)

    def _columns(self, images: Any) -> Any:
        """group × C / group · kernel × images · positions."""
        columns = self._column_memory(images.shape[0])
        im2col(images, self._by_image(columns), self.window)
        return self._grouped(columns, self.column)
