"""Upgrades nets, solvers and weights from Caffe's earlier formats to the current one.

Layers have had three formats: V0 (2013, ``layers { layer { type: "conv" } }``), V1 (2014,
``layers { type: CONVOLUTION }``) and the current V2 (``layer { type: "Convolution" }``).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar

from cafx.kernel import CafxError, Message
from cafx.kernel.schema import SolverParameter, Upgrade
from cafx_format_binaryproto import LayerFields
from cafx_upgrade_legacy import v0, v1, v2
from cafx_upgrade_legacy.declarations import V0LayerParameter, V1LayerParameter

if TYPE_CHECKING:
    from cafx.conformance.kinds.upgrade import UpgradeCase

__all__ = ["Legacy", "V0LayerParameter", "V1LayerParameter"]

V0_WIRE = LayerFields(field=1, name=1, blobs=50)
V1_WIRE = LayerFields(field=2, name=4, blobs=6, inner=1, inner_fields=V0_WIRE)

SolverType = SolverParameter.SolverType
SOLVERS = {
    SolverType.SGD: "SGD",
    SolverType.NESTEROV: "Nesterov",
    SolverType.ADAGRAD: "AdaGrad",
    SolverType.RMSPROP: "RMSProp",
    SolverType.ADADELTA: "AdaDelta",
    SolverType.ADAM: "Adam",
}


class Legacy(Upgrade):
    """Upgrades messages in earlier formats and leaves others unchanged; a plugin of group ``cafx.upgrades``.

    Attributes:
        declares: the earlier layer messages, added to the schema.
        wire_layers: field numbers of names and blobs in earlier weights files.
    """

    declares: ClassVar[tuple[type[Message], ...]] = (V1LayerParameter,)
    wire_layers: ClassVar[dict[int, LayerFields]] = {V1_WIRE.field: V1_WIRE}

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """Upgrade a NetParameter in place.

        Args:
            proto: the NetParameter.
            source: name of the net, for errors.

        Returns:
            ``proto``.

        Raises:
            CafxError: it is not valid in its format, or needs a plugin that is not installed.
        """
        if any(layer.HasField("layer") for layer in proto.layers):
            v0.upgrade_layers(proto, source)
        v1.move_transformations(proto)
        if proto.layers:
            v1.upgrade_layers(proto, source)
        if proto.input:
            v2.inputs_to_layer(proto, source)
        v2.freeze_statistics(proto)
        return proto

    def upgrade_solver(self, proto: Any, source: str) -> Any:
        """Upgrade a SolverParameter in place: replace ``solver_type``, a number, by ``type``, a name.

        Args:
            proto: the SolverParameter.
            source: name of the solver, for errors.

        Returns:
            ``proto``.

        Raises:
            CafxError: both fields are set.
        """
        if proto.HasField("solver_type"):
            if proto.HasField("type"):
                raise CafxError("type and solver_type are both set", where=source, remedy="remove solver_type")
            proto.type = SOLVERS[SolverType(proto.solver_type)]
            proto.ClearField("solver_type")
        return proto

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """Each earlier format of nets, solvers and inputs, and what cannot be upgraded."""
        from cafx.conformance.kinds.upgrade import UpgradeCase
        from cafx_upgrade_legacy.conformance_cases import CASES, ERRORS

        for name, (old, new, message) in CASES.items():
            yield UpgradeCase(name, old, new, message)
        for name, (old, message, error) in ERRORS.items():
            yield UpgradeCase(name, old, message=message, error=error)
