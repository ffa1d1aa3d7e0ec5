"""Routines: how a layer runs, as its author wrote it or as an engine accelerates it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from cafx.kernel.blob import Blob, Place, SyncedArray
from cafx.kernel.crash import raise_located
from cafx.kernel.net.memory import Access, Use
from cafx.kernel.net.plan import LayerPlan, NetPlan


class Unsupported(Exception):
    """Raised by a routine that does not support a layer; the reason is what ``cafx net`` shows."""


class Compilation:
    """One net while an engine compiles it: what the routines of the net share.

    An engine instance belongs to no net; whatever is about one net is here, and lives as long as
    the program. Engines that need more subclass it (`Engine.compilation`).

    Args:
        engine: the engine.
        plan: the net.

    Attributes:
        parameter_places: where a parameter is best kept, for those best kept elsewhere than in the
            engine's place. The arena stores them there.
    """

    def __init__(self, engine: Any, plan: NetPlan) -> None:
        self.engine = engine
        self.plan = plan
        self.parameter_places: dict[SyncedArray, Place] = {}

    @property
    def nbytes(self) -> int:
        """Bytes of memory that the routines of the net share, such as scratch buffers."""
        return 0

    def prefer_place(self, parameter: Blob, place: Place) -> None:
        """Say where a parameter is best kept."""
        self.parameter_places[parameter.synced_data] = place


class Routine:
    """Runs one layer at its present shapes; created anew when these change.

    Subclasses accelerate a layer type: plugins of group ``cafx.engines.NAME``, named after the type.

    Args:
        compilation: the net being compiled.
        planned: the layer, with its blobs and the gradients that are needed.

    Attributes:
        note: a remark for ``cafx net``, such as the algorithm.

    Raises:
        Unsupported: it does not support the layer's options or shapes; the layer then runs as written.

    Example:
        A routine for y = |x|. A layer that works in place runs as written.

        >>> from cafx.kernel import Net, schema
        >>> class AbsVal(Routine):
        ...     def __init__(self, compilation, planned):
        ...         super().__init__(compilation, planned)
        ...         if planned.bottoms == planned.tops:
        ...             raise Unsupported("it works in place")
        ...
        ...     def forward(self):
        ...         (x,), (y,) = self.planned.bottoms, self.planned.tops
        ...         self.layer.xp.abs(x.data, out=y.mutable_data)
        >>> text = '''
        ... layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 } } }
        ... layer { name: "abs" type: "AbsVal" bottom: "x" top: "y" }'''
        >>> net = Net(schema().parse_text(text, "NetParameter"), engine="numpy")
        >>> net.blobs["x"].set_data([-1, 2])
        >>> plan = net.program.plan
        >>> AbsVal(Compilation(net.engine, plan), plan.layers[1]).forward()
        >>> net.blobs["y"].data.tolist()
        [1.0, 2.0]
    """

    note: str = ""

    def __init__(self, compilation: Compilation, planned: LayerPlan) -> None:
        self.compilation = compilation
        self.planned = planned
        self.layer: Any = planned.layer

    @property
    def name(self) -> str:
        """Who runs the layer: the engine's name."""
        return str(self.compilation.engine.name)

    def place_of(self, blob: Blob) -> Place:
        """Where it reads and writes a blob; used by the default of `accesses`."""
        place: Place = self.compilation.engine.place
        return place

    def forward(self) -> None:
        """Write the tops' data."""
        raise NotImplementedError

    def backward(self) -> None:
        """Write the bottoms' diffs that are needed; add to the parameters' diffs."""
        raise NotImplementedError

    def accesses(self, *, backward: bool) -> Sequence[Access]:
        """What it reads and writes in one direction, in order.

        The default suits most routines: forward reads the bottoms' data and writes the tops';
        backward reads both and the tops' diffs, and writes the diffs that are needed. Arrays that a
        layer shares between a bottom and a top are not written.
        """
        bottoms, tops = self.planned.bottoms, self.planned.tops
        data = [Use(bottom.synced_data, self.place_of(bottom)) for bottom in bottoms]
        if not backward:
            return [Access(data, [Use(top.synced_data, self.place_of(top)) for top in self._written("synced_data")])]
        data += [Use(top.synced_data, self.place_of(top)) for top in tops]
        diffs = [Use(top.synced_diff, self.place_of(top)) for top in tops]
        written = self._written("synced_diff")
        return [Access(data + diffs, [Use(bottom.synced_diff, self.place_of(bottom)) for bottom in written])]

    def _written(self, kind: str) -> list[Blob]:
        """The blobs whose data or diff the layer writes, rather than shares with what it reads."""
        planned = self.planned
        pairs = zip(planned.bottoms, planned.propagate_down, strict=True)
        needed = [bottom for bottom, down in pairs if down]
        made, read = (planned.tops, planned.bottoms) if kind == "synced_data" else (needed, planned.tops)
        shared = {getattr(blob, kind) for blob in read}
        return [blob for blob in made if blob in read or getattr(blob, kind) not in shared]

    @property
    def nbytes(self) -> int:
        """Bytes it holds between passes, beside the arrays it declares."""
        return 0

    def left(self) -> Any:
        """What its forward has left for its backward, beside blobs; asked for before `release`.

        Where a dynamic layer changes shapes in the middle of a pass, another program runs the rest of it and the
        backward pass. Its routine for the same layer is given this by `take`.
        """

    def take(self, left: Any) -> None:
        """Use what the forward of another program's routine has left, as if its own had.

        Args:
            left: what `left` returned.
        """

    def release(self) -> None:
        """Free what is only needed while the program is in use; the next pass allocates it again."""


class Reference(Routine):
    """A layer as its author wrote it."""

    def __init__(self, compilation: Compilation, planned: LayerPlan) -> None:
        super().__init__(compilation, planned)
        bottoms, tops, down = list(planned.bottoms), list(planned.tops), list(planned.propagate_down)
        self.forward = partial(self._run, planned.layer.forward, bottoms, tops)  # type: ignore[method-assign]
        self.backward = partial(self._run, planned.layer.backward, tops, down, bottoms)  # type: ignore[method-assign]

    def _run(self, method: Callable[..., None], *blobs: Any) -> None:
        try:
            method(*blobs)
        except Exception as error:  # noqa: BLE001 - third-party code may raise anything
            layer = self.planned.layer
            raise_located(error, layer.context.plugins, "layer", layer.type, self.planned.definition.where)

    @property
    def name(self) -> str:
        """Nobody accelerates it."""
        return "plain"
