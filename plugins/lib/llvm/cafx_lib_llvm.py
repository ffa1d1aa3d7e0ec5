"""Code made by LLVM for the processor at hand.

A plugin writes a module in LLVM's language (`llvmlite.ir` helps), `build` compiles it, and the address it
returns is called by ctypes, which lets go of the interpreter's lock. Where LLVM does not load, `unavailable`
says why, and the plugin takes another way.
"""

from __future__ import annotations

import functools
import threading
from typing import Any

EFFORT, PASSES = 2, 1
"""Of LLVM's code generator, and of what goes before it: kernels are written the way they are to run, and
more of either only takes time."""
_lock = threading.Lock()


@functools.cache
def features() -> frozenset[str]:
    """What the processor can do, in LLVM's words, such as ``avx512f``.

    Raises:
        ImportError, OSError, RuntimeError: where llvmlite does not load, or does not know the processor.
    """
    import llvmlite.binding as llvm

    return frozenset(name for name, present in llvm.get_host_cpu_features().items() if present)


@functools.cache
def unavailable() -> str | None:
    """Why no code can be made here, or None."""
    try:
        features()
    except (ImportError, OSError, RuntimeError) as error:
        return f"llvmlite does not load: {error}"
    return None


def build(text: str, name: str) -> int:
    """The address of function ``name`` of a module in LLVM's text; it stays for the life of the process.

    Args:
        text: the module.
        name: the function's, like no other's.

    Raises:
        ImportError, OSError, RuntimeError: where llvmlite does not load, or the module is none.
    """
    import llvmlite.binding as llvm

    with _lock:
        engine, module = _engine(), llvm.parse_assembly(text)
        options = llvm.create_pipeline_tuning_options(speed_level=PASSES)
        passes = llvm.create_pass_builder(_machine(), options)
        passes.getModulePassManager().run(module, passes)  # a manager runs once
        engine.add_module(module)
        engine.finalize_object()
        return int(engine.get_function_address(name))


@functools.cache
def _engine() -> Any:
    """What holds all code, one a process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def _machine() -> Any:
    import llvmlite.binding as llvm

    flags, name = llvm.get_host_cpu_features().flatten(), llvm.get_host_cpu_name()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=flags, opt=EFFORT)
