"""Layer, the base class of layer plugins.

A layer declares facts about itself as class attributes and implements four methods. It computes with
``self.xp``, NumPy or CuPy, so that the same code runs on CPU and GPU.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar, TypeVar

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import Blob, shape_text
from cafx.kernel.errors import CafxError
from cafx.kernel.net.context import Context
from cafx.kernel.net.filler import fill
from cafx.kernel.schema import FillerParameter, Message, Phase, schema

Arity = int | tuple[int, int | None]
M = TypeVar("M", bound=Message)


class Layer:
    """Base class of layers; plugins of groups ``cafx.layers``, ``cafx.losses`` and ``cafx.data``.

    A net calls `setup` once, `reshape` whenever bottom shapes change, then `forward` and `backward`.

    Class attributes:
        Parameter: declaration of the layer's options; the parsed options are ``self.options``.
        declares: further declarations, parsed by `read`.
        bottoms: number of bottoms: an integer, or (minimum, maximum) where None means no limit.
        tops: number of tops, likewise.
        equal_bottoms_tops: whether there must be as many tops as bottoms.
        in_place: whether a top may be the bottom at the same position.
        in_place_reason: why not, for the error: a clause that begins with its own punctuation.
        reads_tops: whether backward reads the values of tops, so that layers behind must not overwrite them in place.
        is_loss: whether the loss_weight of the first top defaults to 1.
        automatic_tops: whether missing tops are created.
        is_input: whether the tops are inputs of the net.
        learnable: whether the parameters are trained (those of BatchNorm, its statistics, are not).
        integer_bottoms: positions of bottoms that hold labels or indices, which have no gradient.
        constant_tops: positions of tops whose diff is ignored by `backward`.
        forward_only: whether the layer has no backward pass.
        deterministic: whether the tops depend only on bottoms and parameters.
        dynamic_shape: whether the shapes of the tops are known only after `forward`.
        keeps_state: whether a forward pass affects later ones.
        capturable: whether forward and backward run on a device alone, without a value read on the
            host or brought from it, so that an engine may record and repeat them (CUDA graphs). A
            subclass may make it a property.
        as_written: why no engine may run a routine instead of the layer; set in `setup`.

    Args:
        spec: the LayerParameter.
        context: what the net provides; None for a layer on its own.

    Attributes:
        spec: the LayerParameter.
        context: what the net provides.
        name: the layer's name.
        type: the layer's type.
        phase: TRAIN or TEST: the layer's own if its definition states one, else the net's.
        xp: array module to compute with.
        blobs: the parameters.
        param_propagate_down: for each parameter, whether its gradient is needed.
        options: the parsed options, an instance of ``Parameter``.

    Raises:
        CafxError: an invalid option.

    Example:
        >>> class Double(Layer):
        ...     def reshape(self, bottom, top):
        ...         top[0].reshape(*bottom[0].shape)
        ...
        ...     def forward(self, bottom, top):
        ...         top[0].mutable_data[...] = 2 * bottom[0].data
        ...
        ...     def backward(self, top, propagate_down, bottom):
        ...         if propagate_down[0]:
        ...             bottom[0].mutable_diff[...] = 2 * top[0].diff
        >>> layer = Double(schema()["LayerParameter"](name="double", type="Double"))
        >>> x, y = Blob((3,)), Blob()
        >>> x.set_data([1, 2, 3])
        >>> layer.reshape([x], [y])
        >>> layer.forward([x], [y])
        >>> y.data.tolist()
        [2.0, 4.0, 6.0]
    """

    Parameter: ClassVar[type[Message] | None] = None
    declares: ClassVar[tuple[type[Message], ...]] = ()
    bottoms: ClassVar[Arity] = 1
    tops: ClassVar[Arity] = 1
    equal_bottoms_tops: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
    in_place_reason: ClassVar[str] = ""
    reads_tops: bool = False
    is_loss: ClassVar[bool] = False
    automatic_tops: ClassVar[bool] = False
    is_input: ClassVar[bool] = False
    learnable: ClassVar[bool] = True
    integer_bottoms: ClassVar[tuple[int, ...]] = ()
    constant_tops: ClassVar[tuple[int, ...]] = ()
    forward_only: ClassVar[bool] = False
    deterministic: ClassVar[bool] = True
    dynamic_shape: ClassVar[bool] = False
    keeps_state: ClassVar[bool] = False
    capturable: ClassVar[bool] = True
    as_written: str = ""

    def __init__(self, spec: Any, context: Context | None = None) -> None:
        self.spec = spec
        self.context = context or Context()
        self.name: str = spec.name
        self.type: str = spec.type
        self.phase = Phase(spec.phase) if spec.HasField("phase") else self.context.phase
        self.xp: Any = self.context.xp
        self.blobs: list[Blob] = []
        self.param_propagate_down: list[bool] = []
        self.options: Any = self.read(self.Parameter) if self.Parameter else None

    def setup(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Check options and create parameters; called once, before `reshape`.

        Args:
            bottom: the inputs, with their shapes.
            top: the outputs, not yet shaped.

        Raises:
            CafxError: options or bottom shapes are not valid.
        """

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Shape tops and buffers to match the bottoms; called again when bottom shapes change.

        Args:
            bottom: the inputs.
            top: the outputs.

        Raises:
            CafxError: bottom shapes are not valid.
        """
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Compute the tops' data.

        Args:
            bottom: the inputs; their data are read.
            top: the outputs; their data are overwritten.
        """
        raise NotImplementedError

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Compute input gradients, and add the parameter gradients to the parameters' diffs.

        Args:
            top: the outputs; their diffs are read.
            propagate_down: for each bottom, whether its gradient is needed.
            bottom: the inputs; the diffs that are needed are overwritten, the others left alone.

        Raises:
            CafxError: the layer has no backward pass.
        """
        raise self.error("has no backward pass", remedy="set propagate_down: false, or keep the layer out of the loss")

    @classmethod
    def cases(cls) -> Iterable[Any]:
        """Cases for the conformance suite: ``cafx.conformance.Case`` objects."""
        return ()

    @property
    def kinks(self) -> tuple[float, ...]:
        """Values of the first bottom at which the layer is not differentiable."""
        return ()

    def needs_gradient(self, bottom_index: int) -> bool:
        """Whether ``force_backward`` requests the gradient of a bottom.

        Args:
            bottom_index: position of the bottom.
        """
        return not self.forward_only and bottom_index not in self.integer_bottoms

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Nominal number of multiply-adds of a forward pass, for ``cafx time``; 0 if negligible.

        Args:
            bottom: the inputs, of which only the shapes matter.
        """
        return 0

    def test_scores(self, batches: Sequence[Any], options: Any) -> Mapping[str, Any]:
        """What a test reports of the first top instead of its mean, for layers that override this.

        Args:
            batches: the top's values after each batch of the test.
            options: the SolverParameter, None for a test without solver.

        Returns:
            Numbers or arrays, by the name under which they are shown.
        """
        raise NotImplementedError

    def agreement(self) -> str:
        """What must be the same in all processes that train together, such as the number of records."""
        return ""

    def state(self) -> dict[str, Any]:
        """State needed for an exact resume besides parameters and random streams, as JSON-serialisable values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Continue from a saved state.

        Args:
            state: the result of `state`.
        """

    def close(self) -> None:
        """Release threads, files and databases."""

    @property
    def rng(self) -> np.random.Generator:
        """The random generator of this layer's stream, for values made on the host; see `uniform`."""
        return self.context.streams[self.name]

    def uniform(self, shape: Sequence[int], dtype: npt.DTypeLike = np.float32) -> Any:
        """Random values in [0, 1), in the engine's place: those of `rng` on the host, a stream of its own on a device.

        Args:
            shape: shape of the array.
            dtype: float32 or float64.

        Example:
            >>> layer = Layer(schema()["LayerParameter"](name="drop1", type="Dropout"))
            >>> layer.uniform((2, 3)).shape
            (2, 3)
        """
        return self.context.draws.uniform(self.name, shape, dtype)

    def __repr__(self) -> str:
        return f"<{self.where}>"

    @property
    def where(self) -> str:
        """The location for errors: ``layer 'conv1' (Convolution)``."""
        return f"layer '{self.name}' ({self.type})"

    def error(self, message: str, **details: Any) -> CafxError:
        """A CafxError located at this layer: ``raise self.error("...", found=..., expected=...)``.

        Args:
            message: what is wrong.
            details: keywords of `CafxError`.
        """
        return CafxError(message, where=self.where, **details)

    def read(self, declaration: type[M]) -> M:
        """The layer's options of one declaration, with all that installed dialects add to it.

        Args:
            declaration: a message declared as a field of LayerParameter.

        Raises:
            CafxError: an invalid option, or the declaration is missing from the schema or clashes with another.
        """
        extension, composed = declaration.__extends__, schema(self.context.plugins)
        if extension is None or not hasattr(self.spec, extension.field):
            clash = composed.clashes.get(extension.field if extension else "")
            raise clash or self.error(f"its options ({declaration.__name__}) are not in the schema")
        try:
            return composed.readable(declaration).from_proto(getattr(self.spec, extension.field))
        except CafxError as error:
            raise error.at(self.where) from None

    def axis(self, blob: Blob, index: int) -> int:
        """The non-negative index of an axis.

        Args:
            blob: the blob.
            index: index of the axis; negative from the end.

        Raises:
            CafxError: the blob has no such axis.
        """
        try:
            return blob.axis(index)
        except CafxError as error:
            raise error.at(self.where) from None

    def add_parameter(self, shape: Sequence[int], filler: FillerParameter) -> Blob:
        """Create the next parameter and initialise it from its own random stream.

        Args:
            shape: shape of the parameter.
            filler: how it is initialised.

        Returns:
            The parameter, also appended to ``blobs``.

        Raises:
            CafxError: an unknown filler, or one that cannot fill this shape.
        """
        blob = self.context.blob(shape, f"{self.name}.{len(self.blobs)}")
        fill(blob, filler, self.context, self.where)
        self.blobs.append(blob)
        self.param_propagate_down.append(True)
        return blob

    def require_shape(self, blob: Blob, expected: Sequence[int], what: str) -> None:
        """Check the shape of a blob.

        Args:
            blob: the blob.
            expected: the shape it must have.
            what: how the error refers to the blob.

        Raises:
            CafxError: the shape differs.
        """
        if blob.shape != tuple(expected):
            raise self.error(
                f"shape mismatch at {what}", found=shape_text(blob.shape), expected=shape_text(tuple(expected))
            )

    def refuse_gradients(self, propagate_down: list[bool]) -> None:
        """Check that no gradient is requested of a bottom that holds labels or indices.

        Args:
            propagate_down: as for `backward`.

        Raises:
            CafxError: a gradient of one of ``integer_bottoms`` is requested.
        """
        for index in self.integer_bottoms:
            if any(propagate_down[index : index + 1]):
                raise self.error(f"has no gradient for bottom {index}", remedy="set propagate_down: false for it")

    def workspace(self, shape: Sequence[int], name: str = "") -> Any:
        """A scratch buffer shared with the net's other layers; its contents last until this call returns.

        Args:
            shape: shape of the buffer.
            name: distinguishes buffers that are used at the same time.
        """
        return self.context.workspace.get(shape, self.context.dtype, self.xp, name)
