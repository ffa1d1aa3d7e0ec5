"""A stand-in for cuDNN's frontend (the module ``cudnn``): its graphs over host memory.

What the real module refuses is refused with the same exceptions; what it would silently get wrong raises
AssertionError. One thing is stricter: tensors that are stored need a uid before ``validate``.
"""

from __future__ import annotations

from types import ModuleType
from typing import Any

from . import cudnn_names as names
from .cudnn_graph import PyGraph
from .cudnn_handles import Handles
from .cudnn_tensor import Tensor
from .runtime import Runtime


def module(runtime: Runtime) -> ModuleType:
    """The module ``cudnn`` for a device.

    Args:
        runtime: the stand-in device.

    Example:
        >>> from .runtime import Runtime
        >>> module(Runtime()).backend_version()
        91900
    """
    handles = Handles(runtime)
    made = ModuleType("cudnn", "A stand-in for cuDNN's frontend.")
    members: dict[str, Any] = {
        "__version__": names.FRONTEND_VERSION,
        "backend_version": lambda: names.BACKEND_VERSION,
        "backend_version_string": lambda: names.BACKEND_VERSION_STRING,
        "create_handle": handles.create,
        "destroy_handle": handles.destroy,
        "set_stream": handles.set_stream,
        "get_stream": handles.get_stream,
        "pygraph": type("pygraph", (PyGraph,), {"handles": handles}),
        "tensor": Tensor,
        "data_type": names.DataType,
        "heur_mode": names.HeurMode,
        "numerical_note": names.NumericalNote,
        "behavior_note": names.BehaviorNote,
        "reduction_mode": names.ReductionMode,
        "build_plan_policy": names.BuildPlanPolicy,
        "cudnnGraphNotSupportedError": names.cudnnGraphNotSupportedError,
    }
    vars(made).update(members)
    return made
