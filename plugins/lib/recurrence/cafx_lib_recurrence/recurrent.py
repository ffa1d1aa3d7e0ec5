"""Recurrent: the base class of RNN and LSTM."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import Blob, Layer
from cafx_lib_recurrence.cases import recurrent_cases
from cafx_lib_recurrence.options import RecurrentParameter

if TYPE_CHECKING:
    from cafx.conformance import Case


class Recurrent(Layer):
    """A layer that reads N sequences of T time steps, with hidden states of H units between the steps.

    Bottoms: x, T×N×…; cont, T×N, 0 where a sequence starts; optionally a static input, N×…, read at
    every step; with expose_hidden the initial states, 1×N×H each. Tops: y, T×N×H; with expose_hidden
    the final states, 1×N×H each. Without expose_hidden a forward pass starts from the final states of
    the previous one, and from 0 when N changes. Gradients flow neither between forward passes nor
    through exposed states.

    This class maps x and the static input to R values per step with its first parameters, W_x (R×…),
    b (R) and W_s (R×…). A subclass unrolls the recurrence over these values.

    Class attributes:
        states: number of hidden states.
        gates: R / H.
    """

    Parameter = RecurrentParameter
    options: RecurrentParameter
    integer_bottoms = (1,)
    keeps_state = True
    states: ClassVar[int] = 1
    gates: ClassVar[int] = 1

    def add_recurrence(self, length: int) -> None:
        """Create the parameters of the recurrence, for ``length`` = H hidden units."""
        raise NotImplementedError

    def unroll(self, inputs: Any, cont: Any, states: list[Any], y: Any) -> list[Any]:
        """Run the recurrence forward.

        Args:
            inputs: mapped inputs, T×N×R.
            cont: continuation markers, T×N×1.
            states: initial states, N×H each.
            y: T×N×H; overwritten.

        Returns:
            The final states.
        """
        raise NotImplementedError

    def unroll_backward(self, dy: Any, cont: Any) -> Any:
        """Run the recurrence backward.

        Adds the gradients of the recurrence's parameters.

        Args:
            dy: gradient with respect to y, T×N×H.
            cont: continuation markers, T×N×1.

        Returns:
            The gradient with respect to the mapped inputs, T×N×R.
        """
        raise NotImplementedError

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create the parameters, and the states kept between forward passes."""
        options, exposed = self.options, self.states if self.options.expose_hidden else 0
        if not options.num_output:
            raise self.error("num_output is missing", expected="recurrent_param { num_output: … }")
        self.static = len(bottom) == 3 + exposed
        if len(bottom) - self.static != 2 + exposed or len(top) != 1 + exposed:
            raise self.error(
                "wrong number of bottoms or tops",
                found=f"bottoms: {len(bottom)}, tops: {len(top)}",
                expected=f"bottoms: {2 + exposed} ({3 + exposed} with a static input), tops: {1 + exposed}",
                remedy="expose_hidden decides whether the hidden states are among them",
            )
        values = self.gates * options.num_output
        self.add_parameter((values, bottom[0].count(2)), options.weight_filler)
        self.add_parameter((values,), options.bias_filler)
        if self.static:
            self.add_parameter((values, bottom[2].count(1)), options.weight_filler)
        self.add_recurrence(options.num_output)
        self.carried = [] if exposed else [self.context.blob((0,)) for _ in range(self.states)]

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y is T×N×H, a state 1×N×H; kept states are reset to 0 when N changes."""
        self.axis(bottom[0], 2)
        length, (steps, streams) = self.options.num_output, bottom[0].shape[:2]
        self.require_shape(bottom[1], (steps, streams), "bottom 1 (continuation markers)")
        self._check_features(bottom[0], (steps, streams), 0)
        if self.static:
            self._check_features(bottom[2], (streams,), 2)
        for blob in bottom[2 + self.static :]:
            self.require_shape(blob, (1, streams, length), f"hidden state '{blob.name}'")
        for blob, shape in zip(top, [(steps, streams), *[(1, streams)] * self.states], strict=False):
            blob.reshape(*shape, length)
        for blob in self.carried:
            if blob.shape != (streams, length):
                blob.reshape(streams, length)
                blob.mutable_data[...] = 0

    def _check_features(self, blob: Blob, lead: tuple[int, ...], weights: int) -> None:
        """CafxError unless ``blob`` has leading axes ``lead``, then as many values as the weights expect."""
        features = self.blobs[weights].shape[1]
        self.axis(blob, len(lead))
        if blob.shape[: len(lead)] != lead or blob.count(len(lead)) != features:
            self.require_shape(blob, (*lead, features), f"bottom {weights}")

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """One per weight, time step and stream; static weights count once per stream."""
        steps, streams = bottom[0].shape[:2]
        once = self.blobs[2].count_ if self.static else 0
        always = sum(blob.count_ for blob in self.blobs if blob.num_axes > 1) - once
        return streams * (steps * always + once)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Map the inputs, unroll the recurrence, keep or expose the final states."""
        steps, streams, length = top[0].shape
        weights, bias = self.blobs[0].data, self.blobs[1].data
        x = bottom[0].data.reshape(steps * streams, weights.shape[1])
        inputs = self.xp.matmul(x, weights.T) + bias
        inputs = inputs.reshape(steps, streams, self.gates * length)
        if self.static:
            static = bottom[2].data.reshape(streams, self.blobs[2].shape[1])
            inputs += self.xp.matmul(static, self.blobs[2].data.T)
        first = [each.data.reshape(streams, length) for each in self.carried or bottom[2 + self.static :]]
        last = self.unroll(inputs, bottom[1].data[:, :, None], first, top[0].mutable_data)
        for blob, state in zip(self.carried or top[1:], last, strict=True):
            blob.mutable_data[...] = state.reshape(blob.shape)

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Backpropagate through the recurrence, then through the mapping of the inputs."""
        self.refuse_gradients(propagate_down)
        inputs = self.unroll_backward(top[0].diff, bottom[1].data[:, :, None])
        self._map_backward(0, rows(inputs), bottom[0], propagate_down[0])
        self.add_gradient(1, rows(inputs).sum(axis=0))
        if self.static:
            self._map_backward(2, inputs.sum(axis=0), bottom[2], propagate_down[2])
        for index in range(2 + self.static, len(bottom)):
            if propagate_down[index]:
                bottom[index].mutable_diff[...] = 0

    def _map_backward(self, index: int, diff: Any, bottom: Blob, needed: bool) -> None:
        """Gradients of the weights at ``index`` and, if ``needed``, of the bottom they multiply."""
        flat = (diff.shape[0], self.blobs[index].shape[1])
        self.add_gradient(index, self.xp.matmul(diff.T, bottom.data.reshape(flat)))
        if needed:
            self.xp.matmul(diff, self.blobs[index].data, out=bottom.mutable_diff.reshape(flat))

    def add_gradient(self, index: int, gradient: Any) -> None:
        """Add to the gradient of parameter ``index``, if it is trained."""
        if self.param_propagate_down[index]:
            self.blobs[index].mutable_diff[...] += gradient

    def needs_gradient(self, bottom_index: int) -> bool:
        """True for the sequence and the static input, False for markers and states."""
        return bottom_index == 0 or (bottom_index == 2 and self.static)

    def state(self) -> dict[str, Any]:
        """The kept hidden states."""
        return {"hidden": [blob.data.tolist() for blob in self.carried]} if self.carried else {}

    def restore(self, state: dict[str, Any]) -> None:
        """Restore the kept hidden states."""
        for blob, values in zip(self.carried, state["hidden"], strict=True):
            blob.set_data(values)
            blob.synced_data.write(blob.place)  # a pass that was recorded reads them there

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """The cases common to recurrent layers with ``states`` hidden states."""
        return recurrent_cases(cls.states)


def rows(array: Any) -> Any:
    """Reshape T×N×F to T·N×F."""
    return array.reshape(array.shape[0] * array.shape[1], array.shape[2])
