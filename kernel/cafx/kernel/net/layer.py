"""The Layer protocol: what a plugin author writes, and what the net hands to it.

A layer declares facts about itself as class attributes and implements four methods. It computes
with ``self.xp`` (numpy, or cupy on a GPU), so that one text runs in either.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import ModuleType
from typing import Any, ClassVar, TypeVar

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import HOST, Blob, Place, shape_text
from cafx.kernel.errors import CafxError
from cafx.kernel.net.random import Streams
from cafx.kernel.registry import Registry, registry
from cafx.kernel.schema import FillerParameter, Message, Phase, schema

Arity = int | tuple[int, int | None]
M = TypeVar("M", bound=Message)


class Workspace:
    """Scratch memory the layers of one net take turns in; its contents last for one call."""

    def __init__(self) -> None:
        self._buffers: dict[tuple[str, Any], Any] = {}

    def get(self, shape: Sequence[int], dtype: npt.DTypeLike, xp: Any = np, name: str = "") -> Any:
        """An uninitialised array of ``shape``; asking again under one name gives the same memory."""
        count = int(np.prod(shape, dtype=np.int64))
        held = self._buffers.get((name, np.dtype(dtype)))
        if held is None or held.size < count:
            held = self._buffers[name, np.dtype(dtype)] = xp.empty(count, dtype)
        return held[:count].reshape(shape)

    @property
    def nbytes(self) -> int:
        """Bytes held."""
        return sum(held.nbytes for held in self._buffers.values())


@attrs.define
class Context:
    """What a net gives each of its layers.

    Attributes:
        phase: TRAIN or TEST.
        dtype: type of every blob, float32 or float64.
        place: where plain layers' arrays live.
        xp: the array module of that place.
        streams: the random streams.
        workspace: scratch memory.
        plugins: where fillers, databases and formats are found.
    """

    phase: Phase = Phase.TEST
    dtype: np.dtype[Any] = attrs.field(default=np.float32, converter=np.dtype)
    place: Place = HOST
    xp: ModuleType | Any = np
    streams: Streams = attrs.field(factory=Streams)
    workspace: Workspace = attrs.field(factory=Workspace)
    plugins: Registry = attrs.field(factory=registry)

    def blob(self, shape: Sequence[int] = (), name: str = "") -> Blob:
        """A new blob of this net's type in this net's place."""
        return Blob(tuple(shape), self.dtype, self.place, name)


class Layer:
    """One layer of a net.

    Class attributes (facts, read by the net and by the conformance suite):
        Parameter: the declaration of its options; the instance is ``self.options``.
        declares: further declarations it reads with `read`.
        bottoms, tops: how many: a number, or (least, most) with None for no limit.
        equal_bottoms_tops: as many tops as bottoms.
        in_place: a top may be its bottom (the first, or each of an equal number).
        is_loss: its first top counts 1 in the objective unless told otherwise.
        automatic_tops: tops not named are made up.
        is_input: its tops are the net's inputs.
        learnable: its parameters are trained (BatchNorm's statistics are not).
        integer_bottoms: bottoms that hold labels or indices and never get a gradient.
        constant_tops: tops whose diff its backward ignores.
        forward_only: it has no backward.
        deterministic: its output depends on its bottoms and parameters alone.
        dynamic_shape: its tops' shapes are known only after its forward.
        keeps_state: what one forward leaves behind changes the next.
    """

    Parameter: ClassVar[type[Message] | None] = None
    declares: ClassVar[tuple[type[Message], ...]] = ()
    bottoms: ClassVar[Arity] = 1
    tops: ClassVar[Arity] = 1
    equal_bottoms_tops: ClassVar[bool] = False
    in_place: ClassVar[bool] = False
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
        """Once: check options, make parameter blobs and fill them."""

    def reshape(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Give tops and buffers their shapes, from those of the bottoms; run again as these change."""
        raise NotImplementedError

    def forward(self, bottom: list[Blob], top: list[Blob]) -> None:
        """Write the tops' data."""
        raise NotImplementedError

    def backward(self, top: list[Blob], propagate_down: list[bool], bottom: list[Blob]) -> None:
        """Write the diff of each bottom asked for; add to the parameters' diffs."""
        raise self.error("has no backward", remedy="set propagate_down: false on it, or keep it out of the loss")

    @classmethod
    def cases(cls) -> Iterable[Any]:
        """On what the conformance suite tries it: ``cafx.conformance.Case`` objects."""
        return ()

    @property
    def kinks(self) -> tuple[float, ...]:
        """Values of the first bottom at which the layer has no derivative."""
        return ()

    def needs_gradient(self, bottom_index: int) -> bool:
        """Whether a bottom may be given a gradient where force_backward asks for all of them."""
        return not self.forward_only and bottom_index not in self.integer_bottoms

    def multiply_adds(self, bottom: list[Blob]) -> int:
        """Products added up in one forward at present shapes, for `cafx time`; 0 where they hardly count."""
        return 0

    def state(self) -> dict[str, Any]:
        """What an exact resume needs beyond parameters and random streams, as plain values."""
        return {}

    def restore(self, state: dict[str, Any]) -> None:
        """Put back what `state` returned."""

    def close(self) -> None:
        """Release threads, files and databases."""

    @property
    def rng(self) -> np.random.Generator:
        """This layer's random stream."""
        return self.context.streams[self.name]

    @property
    def where(self) -> str:
        """How errors name this layer."""
        return f"layer '{self.name}' ({self.type})"

    def error(self, message: str, **details: Any) -> CafxError:
        """A CafxError that names this layer: ``raise self.error("...", found=..., expected=...)``."""
        return CafxError(message, where=self.where, **details)

    def read(self, declaration: type[M]) -> M:
        """The options of one declaration as this layer's prototxt states them."""
        hung = declaration.__extends__
        if hung is None or not hasattr(self.spec, hung.field):
            clash = schema(self.context.plugins).clashes.get(hung.field if hung else "")
            raise clash or self.error(f"its options ({declaration.__name__}) are not in the schema")
        try:
            return declaration.from_proto(getattr(self.spec, hung.field))
        except CafxError as error:
            raise error.at(self.where) from None

    def axis(self, blob: Blob, index: int) -> int:
        """`Blob.axis`, naming this layer where there is no such axis."""
        try:
            return blob.axis(index)
        except CafxError as error:
            raise error.at(self.where) from None

    def add_parameter(self, shape: Sequence[int], filler: FillerParameter) -> Blob:
        """Make the next parameter blob and fill it from this layer's random stream."""
        blob = self.context.blob(shape, f"{self.name}.{len(self.blobs)}")
        fill(blob, filler, self.context, self.where)
        self.blobs.append(blob)
        self.param_propagate_down.append(True)
        return blob

    def require_shape(self, blob: Blob, expected: Sequence[int], what: str) -> None:
        """CafxError unless ``blob`` has the shape ``expected``."""
        if blob.shape != tuple(expected):
            raise self.error(
                f"shape mismatch at {what}", found=shape_text(blob.shape), expected=shape_text(tuple(expected))
            )

    def refuse_gradients(self, propagate_down: list[bool]) -> None:
        """CafxError where a gradient is asked for of a bottom that holds labels or indices."""
        for index in self.integer_bottoms:
            if any(propagate_down[index : index + 1]):
                raise self.error(f"has no gradient for bottom {index}", remedy="set propagate_down: false for it")

    def workspace(self, shape: Sequence[int], name: str = "") -> Any:
        """Scratch memory shared with the net's other layers: it lasts until this call returns."""
        return self.context.workspace.get(shape, self.context.dtype, self.xp, name)


class Filler:
    """How a parameter's initial values are drawn; a plugin of group ``cafx.fillers``.

    Class attributes:
        takes_sparse: it understands ``sparse``; the others refuse it.
    """

    takes_sparse: ClassVar[bool] = False

    def __init__(self, options: FillerParameter) -> None:
        if options.sparse != -1 and not self.takes_sparse:
            raise CafxError(f"filler '{options.type}' has no sparse form", found=f"sparse: {options.sparse}")
        self.options = options

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """The values for a blob of ``shape``."""
        raise NotImplementedError


def fill(blob: Blob, options: FillerParameter, context: Context, where: str) -> None:
    """Fill ``blob`` as ``options`` say, from the random stream named after the blob."""
    try:
        filler = context.plugins.load("filler", options.type)(options)
        values = filler.fill(blob.shape, context.streams[blob.name])
    except CafxError as error:
        raise error.at(where) from None
    blob.set_data(values)


def arity_text(arity: Arity) -> str:
    """``2``, ``1 or more``, ``2 to 3``."""
    if isinstance(arity, int):
        return str(arity)
    low, high = arity
    return f"{low} or more" if high is None else f"{low} to {high}"


def fits(arity: Arity, count: int) -> bool:
    """Whether ``count`` bottoms or tops are allowed."""
    low, high = (arity, arity) if isinstance(arity, int) else arity
    return low <= count and (high is None or count <= high)
