"""Lstm: long short-term memory over sequences that lie one step after another in the batch."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, FillerParameter, Layer, Message, above, message, option, within
from cafx.kernel.blob import shape_text
from cafx_lib_recurrence import rows
from cafx_lib_recurrence.cell import GATES, step, step_backward

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("lstm_param")
class LstmParameter(Message):
    """Options of Lstm."""

    num_output: int = option(1, "uint32", doc="H, the number of outputs and of hidden units", check=above(0))
    clipping_threshold: float = option(2, "float", 0.0, doc="largest gradient before a nonlinearity; 0 for no limit")
    weight_filler: FillerParameter = option(3, FillerParameter, doc="weight initialiser")
    bias_filler: FillerParameter = option(4, FillerParameter, doc="bias initialiser")
    batch_size: int = option(5, "uint32", 1, doc="N, the number of sequences", check=within(1, 1 << 20))


class Lstm(Layer):
    """Long short-term memory: cₜ = f · cₜ₋₁ + i · g, hₜ = o · tanh cₜ, yₜ = hₜ.

    i, f, o = σ and g = tanh of the quarters of W_x xₜ + b + W_h hₜ₋₁, where hₜ₋₁ and cₜ₋₁ are 0 at the start of a
    sequence.
    Bottoms: x, T·N×…, the N sequences of a step next to each other; optionally clip, T·N values, 0 where a
    sequence starts, else 1. Top: y, T·N×H. Without clip, sequences start with the forward pass; with clip, a
    sequence may continue from the final states of the previous pass.
    Parameters: W_x of shape 4H×I, W_h of shape 4H×H, b of shape 4H, with I values of x per step and sequence.
    Gradient: through all T steps, not to the previous pass. Above 0, ``clipping_threshold`` limits each
    gradient of W_x xₜ + b + W_h hₜ₋₁ to ± its value. The fork's code for several sequences mixes them up in
    places; here each is treated as the fork treats a single one.

    Raises:
        CafxError: num_output is missing, x does not have a multiple of N rows of I values, or clip one value per row.

    Source: Hochreiter and Schmidhuber, "Long Short-Term Memory", 1997; the layer is from junhyukoh/caffe-lstm.

    Read by engines:
        shape: T, N and H.
        carried: blobs with the states that the last forward pass ended in; none without clip.
    """

    Parameter = LstmParameter
    options: LstmParameter
    bottoms = (1, 2)
    integer_bottoms = (1,)
    keeps_state = True

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the parameters, and with clip the states kept between forward passes."""
        options, length = self.options, self.options.num_output
        if not length:
            raise self.error("num_output is missing", expected="lstm_param { num_output: … }")
        self.axis(bottom[0], 0)
        self.add_parameter((GATES * length, bottom[0].count(1)), options.weight_filler)
        self.add_parameter((GATES * length, length), options.weight_filler)
        self.add_parameter((GATES * length,), options.bias_filler)
        self.carried = [self.context.blob((options.batch_size, length)) for _ in bottom[1:] * 2]
        for blob in self.carried:
            blob.mutable_data[...] = 0

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """The top has a row per row of x."""
        (weights, features), sequences = self.blobs[0].shape, self.options.batch_size
        total = bottom[0].shape[0] if bottom[0].shape else 0
        if not bottom[0].shape or total % sequences or bottom[0].count(1) != features:
            found, expected = shape_text(bottom[0].shape), f"rows of {features} values, a multiple of {sequences} rows"
            raise self.error("x does not match batch_size or weights", found=found, expected=expected)
        if bottom[1:] and bottom[1].count_ != total:
            raise self.error("clip needs one value per row", found=shape_text(bottom[1].shape), expected=f"{total}×1")
        self.shape, self.rows = (total // sequences, sequences, weights // GATES), (total, features)
        top[0].reshape(total, self.shape[2])

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """One per weight and row."""
        return bottom[0].shape[0] * (self.blobs[0].count_ + self.blobs[1].count_)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Map the inputs, then compute c and h step by step."""
        xp, (steps, sequences, length) = self.xp, self.shape
        inputs = xp.matmul(bottom[0].data.reshape(self.rows), self.blobs[0].data.T)
        inputs = (inputs + self.blobs[2].data).reshape(steps, sequences, GATES * length)
        y, weights = top[0].mutable_data.reshape(self.shape), self.blobs[1].data
        self.cont = xp.ones((steps, sequences, 1), y.dtype)
        if self.carried:
            self.cont[...] = bottom[1].data.reshape(self.cont.shape) != 0
            hidden, cell = (blob.data for blob in self.carried)
        else:
            self.cont[:1] = 0
            hidden = cell = xp.zeros((sequences, length), y.dtype)
        self.previous, self.previous_cells, self.cells = (xp.empty_like(y) for _ in range(3))
        self.activations = xp.empty_like(inputs)
        for t in range(steps):
            self.previous[t], self.previous_cells[t] = self.cont[t] * hidden, cell
            gated = inputs[t] + xp.matmul(self.previous[t], weights.T)
            self.activations[t], cell, hidden = step(xp, cell, gated, self.cont[t])
            self.cells[t], y[t] = cell, hidden
        for blob, state in zip(self.carried, (hidden, cell), strict=False):
            blob.mutable_data[...] = state

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Backpropagate step by step, from the last to the first, then through the mapping of the inputs."""
        self.refuse_gradients(propagate_down)
        weights, limit, dy = self.blobs[1].data, self.options.clipping_threshold, top[0].diff.reshape(self.shape)
        diff, hidden_diff, cell_diff = self.xp.empty_like(self.activations), 0, 0
        for t in reversed(range(self.shape[0])):
            kept = self.previous_cells[t], self.activations[t], self.cells[t]
            diff[t], cell_diff = step_backward(self.xp, *kept, cell_diff, dy[t] + hidden_diff)
            if limit > 0:
                self.xp.clip(diff[t], -limit, limit, out=diff[t])
            hidden_diff = self.cont[t] * self.xp.matmul(diff[t], weights)
        flat, x = rows(diff), bottom[0].data.reshape(self.rows)
        for index, values in enumerate((x, rows(self.previous))):
            if self.param_propagate_down[index]:
                self.blobs[index].mutable_diff[...] += self.xp.matmul(flat.T, values)
        if self.param_propagate_down[2]:
            self.blobs[2].mutable_diff[...] += flat.sum(axis=0)
        if propagate_down[0]:
            self.xp.matmul(flat, self.blobs[0].data, out=bottom[0].mutable_diff.reshape(self.rows))

    def state(self) -> dict[str, Any]:
        """The kept states."""
        return {"hidden": [blob.data.tolist() for blob in self.carried]} if self.carried else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the kept states."""
        for blob, values in zip(self.carried, state.get("hidden", ()), strict=True):
            blob.set_data(values)
            blob.synced_data.write(blob.place)  # a pass that was recorded reads them there

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """One and several sequences, with and without clip."""
        from cafx.conformance import Case, labels

        gaussian = {"type": "gaussian", "std": 0.5}
        options = {"num_output": 3, "weight_filler": gaussian, "bias_filler": gaussian}
        pair, wide = {**options, "batch_size": 2}, {**options, "batch_size": 2, "clipping_threshold": 99}
        yield Case("one", (4, 2), options=options)
        yield Case("several", (6, 2, 2), options=pair)
        yield Case("marked", (6, 4), labels((6, 1), 2), options=wide)
        yield Case("marked_images", (4, 2, 1, 2), labels((4,), 2), options=options)
