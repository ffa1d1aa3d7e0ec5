"""Compiling LLVM IR to machine code, and loading machine code into the process."""

from __future__ import annotations

import functools
from typing import Any

import llvmlite
import llvmlite.binding as llvm

OPTIMISATION, SPEED = 2, 1
"""Levels of LLVM's code generator and of its passes over the IR. Kernels are written in the order in which they
should run, so higher levels cost time and gain nothing."""


@functools.cache
def target() -> str:
    """Everything that compiled code depends on besides its IR: processor, versions and settings."""
    version = ".".join(map(str, llvm.llvm_version_info))
    return "\n".join(
        [
            f"llvmlite {llvmlite.__version__}, LLVM {version}",
            f"levels {OPTIMISATION}, {SPEED}",
            llvm.get_process_triple(),
            llvm.get_host_cpu_name(),
            llvm.get_host_cpu_features().flatten(),
        ]
    )


def compile_ir(text: str) -> bytes:
    """The object file of a module in LLVM's textual IR.

    Raises:
        RuntimeError: the text is not valid IR.
    """
    machine, module = _machine(), llvm.parse_assembly(text)
    options = llvm.create_pipeline_tuning_options(speed_level=SPEED)
    passes = llvm.create_pass_builder(machine, options)
    passes.getModulePassManager().run(module, passes)
    code: bytes = machine.emit_object(module)
    return code


def load(code: bytes, name: str) -> int:
    """Load an object file for the life of the process.

    Args:
        code: the object file. It must come from `compile_ir`: LLVM does not survive a malformed one.
        name: a function in it, whose name no other object file loaded has.

    Returns:
        The function's address.
    """
    engine = _engine()
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return int(engine.get_function_address(name))


@functools.cache
def _engine() -> Any:
    return llvm.create_mcjit_compiler(llvm.parse_assembly(""), _machine())


def _machine() -> Any:
    _initialize()
    name, features = llvm.get_host_cpu_name(), llvm.get_host_cpu_features().flatten()
    return llvm.Target.from_default_triple().create_target_machine(cpu=name, features=features, opt=OPTIMISATION)


@functools.cache
def _initialize() -> None:
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
