"""Recurrent: what RNN and LSTM share, all but the recurrence itself."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import Blob, Layer
from cafx_layer_rnn.cases import recurrent_cases
from cafx_layer_rnn.options import RecurrentParameter

if TYPE_CHECKING:
    from cafx.conformance import Case


class Recurrent(Layer):
    """A layer that reads sequences step by step, with hidden states between the steps.

    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence begins; optionally a static input, N×…, read at
    every step; with expose_hidden the states before the first step, 1×N×H. Tops: y, T×N×H; with
    expose_hidden the states after the last step. Else a forward goes on from the states the last one
    left, until N changes. No gradient passes between forwards, nor through an exposed state.

    This base maps x and the static input to R values a step, by W_x (R×…), b (R) and W_s (R×…), its
    first parameters; a subclass unrolls the recurrence over these values.
    """

    Parameter = RecurrentParameter
    options: RecurrentParameter
    integer_bottoms = (1,)
    keeps_state = True
    states: ClassVar[int] = 1  # hidden ones
    values: ClassVar[int] = 1  # R / H

    def add_recurrence(self, length: int) -> None:
        """Make the parameters of the recurrence."""
        raise NotImplementedError

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """Write y, given T×N×R inputs and the first states; return the last ones."""
        raise NotImplementedError

    def roll_back(self, dy: Any, cont: Any) -> Any:
        """The inputs' gradient, T×N×R, after adding that of the recurrence's parameters."""
        raise NotImplementedError

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Make the parameters, and the states that last from forward to forward."""
        options, exposed = self.options, self.states if self.options.expose_hidden else 0
        if not options.num_output:
            raise self.error("num_output is missing", expected="recurrent_param { num_output: … }")
        self.static = len(bottom) == 3 + exposed
        if len(bottom) - self.static != 2 + exposed or len(top) != 1 + exposed:
            raise self.error(
                "takes other numbers of bottoms and tops", found=f"{len(bottom)} and {len(top)}",
                expected=f"{2 + exposed}, or {3 + exposed} with a static input, and {1 + exposed}",
                remedy="expose_hidden decides whether the hidden states are among them",
            )  # fmt: skip
        values = self.values * options.num_output
        self.add_parameter((values, bottom[0].count(2)), options.weight_filler)
        self.add_parameter((values,), options.bias_filler)
        if self.static:
            self.add_parameter((values, bottom[2].count(1)), options.weight_filler)
        self.add_recurrence(options.num_output)
        self.carried = [] if exposed else [self.context.blob((0,)) for _ in range(self.states)]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y is T×N×H, a state 1×N×H; states of another N begin at 0."""
        self.axis(bottom[0], 2)
        length, (steps, streams) = self.options.num_output, bottom[0].shape[:2]
        self.require_shape(bottom[1], (steps, streams), "the continuation markers' blob")
        self._check_features(bottom[0], (steps, streams), 0)
        if self.static:
            self._check_features(bottom[2], (streams,), 2)
        for blob in bottom[2 + self.static :]:
            self.require_shape(blob, (1, streams, length), "a hidden state")
        for blob, shape in zip(top, [(steps, streams), *[(1, streams)] * self.states], strict=False):
            blob.reshape(*shape, length)
        for blob in self.carried:
            if blob.shape != (streams, length):
                blob.reshape(streams, length)
                blob.mutable_data[...] = 0

    def _check_features(self, blob: Blob, lead: tuple[int, ...], weights: int) -> None:
        """CafxError unless ``blob`` has axes ``lead``, then as many values as the weights take."""
        features = self.blobs[weights].shape[1]
        self.axis(blob, len(lead))
        if blob.shape[: len(lead)] != lead or blob.count(len(lead)) != features:
            self.require_shape(blob, (*lead, features), f"bottom {weights}")

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Every weight at each step of each stream; those of a static input once a stream."""
        steps, streams = bottom[0].shape[:2]
        once = self.blobs[2].count_ if self.static else 0
        always = sum(blob.count_ for blob in self.blobs if blob.num_axes > 1) - once
        return streams * (steps * always + once)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Map the inputs, unroll the recurrence, keep or give out the states."""
        steps, streams, length = top[0].shape
        weights, bias = self.blobs[0].data, self.blobs[1].data
        inputs = bottom[0].data.reshape(steps * streams, weights.shape[1]) @ weights.T + bias
        inputs = inputs.reshape(steps, streams, self.values * length)
        if self.static:
            inputs += bottom[2].data.reshape(streams, self.blobs[2].shape[1]) @ self.blobs[2].data.T
        first = [each.data.reshape(streams, length) for each in self.carried or bottom[2 + self.static :]]
        last = self.unroll(inputs, bottom[1].data[:, :, None], first, top[0].mutable_data)
        for blob, state in zip(self.carried or top[1:], last, strict=True):
            blob.mutable_data[...] = state.reshape(blob.shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Roll the recurrence back; from its inputs' gradient follow all others."""
        self.refuse_gradients(propagate_down)
        inputs = self.roll_back(top[0].diff, bottom[1].data[:, :, None])
        self.pass_down(0, rows(inputs), bottom[0], propagate_down[0])
        self.add_gradient(1, rows(inputs).sum(axis=0))
        if self.static:
            self.pass_down(2, inputs.sum(axis=0), bottom[2], propagate_down[2])
        for index in range(2 + self.static, len(bottom)):
            if propagate_down[index]:
                bottom[index].mutable_diff[...] = 0

    def pass_down(self, index: int, diff: Any, bottom: Blob, wanted: bool) -> None:
        """The gradients of weights, parameter ``index``, and of the bottom they are applied to."""
        flat = (diff.shape[0], self.blobs[index].shape[1])
        self.add_gradient(index, diff.T @ bottom.data.reshape(flat))
        if wanted:
            self.xp.matmul(diff, self.blobs[index].data, out=bottom.mutable_diff.reshape(flat))

    def add_gradient(self, index: int, gradient: Any) -> None:
        """Add to a parameter's gradient, if it learns."""
        if self.param_propagate_down[index]:
            self.blobs[index].mutable_diff[...] += gradient

    def needs_gradient(self, bottom_index: int) -> bool:
        """The sequence and the static input have gradients; markers and states do not."""
        return bottom_index == 0 or (bottom_index == 2 and self.static)

    def state(self) -> dict[str, Any]:
        """The hidden states."""
        return {"hidden": [blob.host().tolist() for blob in self.carried]} if self.carried else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put the hidden states back."""
        for blob, held in zip(self.carried, state["hidden"], strict=True):
            blob.set_data(held)

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """Those of every recurrent layer with as many states."""
        return recurrent_cases(cls.states)


def rows(array: Any) -> Any:
    """T×N×… values as T·N rows."""
    return array.reshape(array.shape[0] * array.shape[1], array.shape[2])
