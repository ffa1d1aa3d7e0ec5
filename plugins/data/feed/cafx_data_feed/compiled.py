"""Code made by LLVM for the processor at hand."""

from __future__ import annotations

import functools
import threading
from typing import Any

FASTEST = 3
_lock = threading.Lock()


@functools.cache
def _compiler() -> tuple[Any, Any]:
    """LLVM's engine and what makes its passes: one each a process."""
    import llvmlite.binding as llvm

    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    target = llvm.Target.from_default_triple()
    features = llvm.get_host_cpu_features().flatten()
    machine = target.create_target_machine(cpu=llvm.get_host_cpu_name(), features=features, opt=FASTEST)
    passes = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=FASTEST))
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine), passes


def build(text: str, name: str) -> int:
    """The address of function ``name``, of a module in LLVM's text; it stays.

    Raises:
        ImportError, OSError, RuntimeError: where llvmlite does not load, or does not know the processor.
    """
    import llvmlite.binding as llvm

    with _lock:
        engine, passes = _compiler()
        module = llvm.parse_assembly(text)
        passes.getModulePassManager().run(module, passes)
        engine.add_module(module)
        engine.finalize_object()
        return int(engine.get_function_address(name))
