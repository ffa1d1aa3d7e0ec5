"""Nets, solvers and weights in Caffe's older forms, brought to today's.

A net's layers have had three forms: V0 (2013, ``layers { layer { type: "conv" } }``), V1 (2014,
``layers { type: CONVOLUTION }``) and today's V2 (``layer { type: "Convolution" }``).
"""

from __future__ import annotations

from typing import Any, ClassVar

from cafx.kernel import CafxError, Message
from cafx.kernel.schema import SolverParameter
from cafx_format_binaryproto import LayerFields
from cafx_upgrade_legacy import v0, v1, v2
from cafx_upgrade_legacy.declarations import V0LayerParameter, V1LayerParameter

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


class Legacy:
    """Upgrades what is old, leaves the rest as it is; a plugin of group ``cafx.upgrades``.

    Attributes:
        declares: the older layer messages, which join the schema.
        wire_layers: where weights files of those times keep names and blobs.
    """

    declares: ClassVar[tuple[type[Message], ...]] = (V1LayerParameter,)
    wire_layers: ClassVar[dict[int, LayerFields]] = {V1_WIRE.field: V1_WIRE}

    @staticmethod
    def upgrade_net(proto: Any, source: str) -> Any:
        """``proto``, a NetParameter, changed to today's form; ``source`` is for messages.

        Raises:
            CafxError: what the older form says has no meaning, or needs a plugin not installed.
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

    @staticmethod
    def upgrade_solver(proto: Any, source: str) -> Any:
        """``proto``, a SolverParameter, with its solver named by ``type`` instead of by number."""
        if proto.HasField("solver_type"):
            if proto.HasField("type"):
                raise CafxError(
                    "names its solver twice", where=source, found="type and solver_type",
                    remedy="remove solver_type",
                )  # fmt: skip
            proto.type = SOLVERS[SolverType(proto.solver_type)]
            proto.ClearField("solver_type")
        return proto
