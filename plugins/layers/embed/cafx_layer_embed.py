"""Embed: learned vectors looked up by index."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Blob, CafxError, FillerParameter, Layer, Message, above, message, option

if TYPE_CHECKING:
    from cafx.conformance import Case


@message("embed_param", 137)
class EmbedParameter(Message):
    """Options of Embed."""

    num_output: int = option(1, "uint32", doc="N, length of a vector", check=above(0))
    input_dim: int = option(2, "uint32", doc="K, number of vectors", check=above(0))
    bias_term: bool = option(3, "bool", True, doc="add a bias to every vector")
    weight_filler: FillerParameter = option(4, FillerParameter, doc="initialiser of the vectors")
    bias_filler: FillerParameter = option(5, FillerParameter, doc="bias initialiser")


class Embed(Layer):
    """Lookup of learned vectors: y[…, :] = W[x[…], :] + b, an InnerProduct of one-hot vectors.

    Bottom: any shape, integers from 0 to K − 1, without gradient. Top: the bottom's shape, followed by an
    axis of length N. Parameters: W of shape K×N, b of shape N.
    Gradients: dW[i] = Σ dy over all positions with x = i, db = Σ dy.

    Raises:
        CafxError: num_output or input_dim is missing, or an index is out of range.
    Source: Caffe's layer catalogue.
    """

    Parameter = EmbedParameter
    options: EmbedParameter
    integer_bottoms = (0,)

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Create W and, with bias_term, b."""
        options = self.options
        for field in ("num_output", "input_dim"):
            if not getattr(options, field):
                raise self.error(f"{field} is missing", expected=f"embed_param {{ {field}: … }}")
        self.add_parameter((options.input_dim, options.num_output), options.weight_filler)
        if options.bias_term:
            self.add_parameter((options.num_output,), options.bias_filler)

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """One vector per index."""
        top[0].reshape(*bottom[0].shape, self.options.num_output)

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """y = W[x] + b."""
        y = top[0].mutable_data
        y[...] = self.blobs[0].data[self._indices(bottom[0])].reshape(y.shape)
        if self.options.bias_term:
            y += self.blobs[1].data

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """dW[x] += dy, db += Σ dy."""
        if propagate_down[0]:
            raise self.error("an index has no gradient", remedy="set propagate_down: false on this layer")
        width = self.options.num_output
        dy = top[0].diff.reshape(bottom[0].count(), width)
        if self.param_propagate_down[0]:
            # flat indices: add.at is an order of magnitude faster on one-dimensional arrays
            flat = self._indices(bottom[0])[:, None] * width + self.xp.arange(width)
            self.xp.add.at(self.blobs[0].mutable_diff.reshape(-1), flat.reshape(-1), dy.reshape(-1))
        if self.options.bias_term and self.param_propagate_down[1]:
            self.blobs[1].mutable_diff[...] += dy.sum(axis=0)

    def _indices(self, bottom: Blob) -> Any:
        """The bottom as a vector of integers."""
        rows = self.options.input_dim

        def error(lowest: float, highest: float) -> CafxError:
            wrong = highest if lowest > -1 else lowest
            return self.error("index out of range", found=f"{wrong:g}", expected=f"0 to {rows - 1}")

        return self.context.checks.indices(bottom.data.reshape(-1), rows, error, f"{self.name}: indices")

    @classmethod
    def cases(cls) -> Iterable[Case]:
        """With and without bias, repeated indices, one and two axes."""
        from cafx.conformance import Case
        from cafx.conformance.cases import labels

        gaussian = {"type": "gaussian", "std": 0.5}
        fill = {"weight_filler": gaussian, "bias_filler": gaussian}
        yield Case("words", labels((7, 3), 5), options={"num_output": 4, "input_dim": 5, **fill})
        yield Case("column", labels((6, 1), 3), options={"num_output": 2, "input_dim": 3, **fill})
        no_bias = {"num_output": 3, "input_dim": 4, "bias_term": False, "weight_filler": gaussian}
        yield Case("no_bias", labels((9,), 4), options=no_bias)
