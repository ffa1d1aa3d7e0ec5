"""Rewriting of nets, solvers and weights of other formats when they are read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from cafx.kernel.schema.message import Message


class Upgrade:
    """Rewrites what is read into Caffe's current format; a plugin of group ``cafx.upgrades``.

    Methods that are not overridden leave everything as it is.

    Class attributes:
        declares: messages of the other format, added to the schema.
        wire_layers: for binary weights files, the numbers of the fields that hold layers of the other format.

    Example:
        >>> from cafx.kernel.schema import schema
        >>> class Quiet(Upgrade):
        ...     def upgrade_solver(self, proto, source):
        ...         proto.display = 0
        ...         return proto
        >>> Quiet().upgrade_solver(schema()["SolverParameter"](display=20), "solver").display
        0
    """

    declares: ClassVar[Sequence[type[Message]]] = ()
    wire_layers: ClassVar[Mapping[int, Any]] = {}

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """Upgrade a NetParameter, in place or not.

        Args:
            proto: the NetParameter.
            source: name of the net, for errors.

        Returns:
            The upgraded NetParameter.

        Raises:
            CafxError: it cannot be upgraded.
        """
        return proto

    def upgrade_solver(self, proto: Any, source: str) -> Any:
        """Upgrade a SolverParameter; as `upgrade_net`."""
        return proto

    def upgrade_weights(self, entries: Sequence[Any]) -> Sequence[Any]:
        """Upgrade the contents of a weights file.

        Args:
            entries: the `cafx.kernel.net.LayerWeights` of each layer.

        Returns:
            What to use instead.
        """
        return entries
