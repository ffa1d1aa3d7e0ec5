"""The module ``cupy`` and its submodules, as the stand-in installs them."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import numpy as np

from . import allocators, creation, errors
from .array import ndarray
from .device import RUNTIME_FUNCTIONS, Device, alloc_pinned_memory
from .functions import Functions
from .kernels import RawKernel, RawModule
from .memory import Memory, MemoryPointer, MemoryPool
from .names import ABSENT, CREATING
from .runtime import Runtime
from .streams import Graph, elapsed

VERSION = "14.2.0"


def build(runtime: Runtime) -> dict[str, ModuleType]:
    """The modules of the stand-in for one device, by name."""
    memory = filled("cupy.cuda.memory", memory_names(runtime))
    stream = filled("cupy.cuda.stream", stream_names(runtime))
    submodules = {
        "runtime": filled("cupy.cuda.runtime", RUNTIME_FUNCTIONS),
        "driver": filled("cupy.cuda.driver", {"CUDADriverError": errors.CUDADriverError}),
        "compiler": filled("cupy.cuda.compiler", {"CompileException": errors.CompileException}),
        "memory": memory,
        "stream": stream,
    }
    others = {
        "Graph": Graph,
        "Device": Device,
        "alloc_pinned_memory": alloc_pinned_memory,
        "get_device_id": lambda: runtime.device,
        "is_available": lambda: runtime.devices > 0,
    }
    cuda = filled("cupy.cuda", memory_names(runtime) | stream_names(runtime) | submodules | others)
    cuda.MemoryPool = memory.MemoryPool
    cupy = Functions("cupy", np, ABSENT)
    cupy.__dict__.update(cupy_names(cupy), cuda=cuda, is_available=cuda.is_available)
    return {module.__name__: module for module in (cupy, cuda, *submodules.values())}


def memory_names(runtime: Runtime) -> dict[str, Any]:
    """What cupy.cuda and cupy.cuda.memory have on memory."""
    return {
        "Memory": Memory,
        "MemoryPointer": MemoryPointer,
        "MemoryPool": type("MemoryPool", (MemoryPool,), {"registry": runtime.registry}),
        "OutOfMemoryError": errors.OutOfMemoryError,
        "alloc": runtime.allocate,
        "get_allocator": allocators.get_allocator,
        "set_allocator": allocators.set_allocator,
        "using_allocator": allocators.using_allocator,
    }


def stream_names(runtime: Runtime) -> dict[str, Any]:
    """What cupy.cuda and cupy.cuda.stream have on streams."""
    return {
        "Event": runtime.event_class,
        "Stream": runtime.stream_class,
        "get_current_stream": lambda device_id=None: runtime.current_stream,
        "get_elapsed_time": elapsed,
    }


def cupy_names(cupy: ModuleType) -> dict[str, Any]:
    """What cupy has of its own, or in another way than NumPy."""
    return {
        "RawKernel": RawKernel,
        "RawModule": RawModule,
        "__version__": VERSION,
        "array": creation.array,
        "asanyarray": creation.asarray,
        "asarray": creation.asarray,
        "ascontiguousarray": creation.ascontiguousarray,
        "asnumpy": creation.asnumpy,
        "bool": np.bool_,
        "copyto": creation.copyto,
        **{name: getattr(creation, name) for name in CREATING},
        "get_array_module": lambda *arrays: cupy if any(isinstance(each, ndarray) for each in arrays) else np,
        "get_default_memory_pool": allocators.DefaultPool,
        "may_share_memory": creation.may_share_memory,
        "ndarray": ndarray,
        "ndim": np.ndim,
        "newaxis": None,
        "shape": np.shape,
        "shares_memory": creation.may_share_memory,
        "size": np.size,
    }


def filled(name: str, values: dict[str, Any]) -> Any:
    """A module of these values."""
    module = ModuleType(name)
    module.__dict__.update(values)
    return module
