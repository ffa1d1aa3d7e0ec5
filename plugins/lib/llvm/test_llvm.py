"""Kernels compute what they say, and the disk cache returns only what this user compiled."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import pytest

import cafx_lib_llvm
from cafx_lib_cache import Cache
from cafx_lib_llvm import Arguments, processor

pytestmark = pytest.mark.skipif(cafx_lib_llvm.unavailable() is not None, reason=f"{cafx_lib_llvm.unavailable()}")
kernels = pytest.importorskip("cafx_lib_llvm.kernels", exc_type=ImportError)
emitter = pytest.importorskip("cafx_lib_llvm.emitter", exc_type=ImportError)
build = pytest.importorskip("cafx_lib_llvm.build", exc_type=ImportError)

VECTOR = 16
POINTER = ctypes.c_void_p
KEY, CODE = "0" * 64, b"machine code"
PROCESSES, ENTRIES = 4, 25


@attrs.frozen
class Point(Arguments):
    """A nested record."""

    x: int
    y: int


@attrs.frozen(kw_only=True)
class Line(Arguments):
    """A record of integers, a float and other records."""

    start: Point
    slope: float
    end: Point


@attrs.frozen
class Vectors(Arguments):
    """How many vectors a kernel works on."""

    count: int


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test."""
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache/kernels"


def run(kernel: Any, arguments: Arguments, *arrays: np.ndarray) -> None:
    """Call a kernel whose further parameters are arrays."""
    call = kernel.call(arguments)
    function = ctypes.CFUNCTYPE(None, POINTER, *[POINTER] * len(arrays))(call.address)
    function(call.arguments.ctypes.data, *[array.ctypes.data for array in arrays])


def test_records_are_packed_in_order() -> None:
    packed = Line(start=Point(1, -2), slope=0.5, end=Point(3, 4)).pack()
    assert packed.tolist()[:2] == [1, -2]
    assert packed.view(np.float32)[4] == 0.5
    assert packed.tolist()[3:] == [3, 4]


def test_a_prefetch_may_be_of_any_address() -> None:
    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS)
    def fetch_and_double(e: Any) -> None:
        (values,) = e.parameters
        e.prefetch(values, 1 << 40)
        e.store(e.builder.fmul(e.load(values), e.constant(2)), values)

    values = np.arange(VECTOR, dtype=np.float32)
    run(fetch_and_double(), Vectors(1), values)
    np.testing.assert_array_equal(values, 2 * np.arange(VECTOR))


def test_a_kernel_reads_its_arguments_by_name() -> None:
    @kernels.kernel(Line, cafx_lib_llvm.FLOATS)
    def write(e: Any) -> None:
        (out,), line = e.parameters, e.arguments
        product = e.multiply(line.start.x, line.start.y, line.end.x, line.end.y)
        e.builder.store(e.builder.fmul(e.builder.sitofp(product, cafx_lib_llvm.FLOAT), line.slope), out)

    out = np.zeros(1, np.float32)
    run(write(), Line(start=Point(2, -3), slope=0.5, end=Point(5, 7)), out)
    assert out == 2 * -3 * 5 * 7 / 2


def test_a_kernel_refuses_the_arguments_of_another() -> None:
    @kernels.kernel(Vectors)
    def nothing(e: Any) -> None: ...

    with pytest.raises(TypeError, match="got Point, expected Vectors"):
        nothing().call(Point(1, 2))


@pytest.mark.parametrize("count", [0, 1, 5])
def test_a_loop_carries_values(count: int) -> None:
    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS)
    def fibonacci(e: Any) -> None:
        (out,) = e.parameters
        with e.loop(e.arguments.count, [e.constant(0), e.constant(1)], may_be_empty=True) as loop:
            first, second = loop.values
            loop.carry([second, e.builder.fadd(first, second)])
        e.store(loop.values[0], out)

    out = np.zeros(VECTOR, np.float32)
    run(fibonacci(), Vectors(count), out)
    assert out.tolist() == [{0: 0, 1: 1, 5: 5}[count]] * VECTOR


def test_a_matrix_is_transposed() -> None:
    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS)
    def transpose(e: Any) -> None:
        (matrix,) = e.parameters
        for i, row in enumerate(e.transpose([e.load(matrix, i * VECTOR) for i in range(VECTOR)])):
            e.store(row, matrix, i * VECTOR)

    matrix = np.arange(VECTOR * VECTOR, dtype=np.float32).reshape(VECTOR, VECTOR)
    expected = matrix.T.copy()
    run(transpose(), Vectors(VECTOR), matrix)
    np.testing.assert_array_equal(matrix, expected)


@pytest.mark.parametrize("count", [-3, 0, 1, 9, 15, 16, 40])
def test_the_first_lanes_alone_are_read_and_written(count: int) -> None:
    source, target = np.arange(1, VECTOR + 1, dtype=np.float32), np.full(VECTOR, 7, np.float32)
    whole = np.full(VECTOR, 7, np.float32)

    @kernels.kernel(Vectors, *[emitter.FLOATS] * 3)
    def copy(e: Any) -> None:
        read, some, every = e.parameters
        value = e.load_lanes(e.first_lanes(e.arguments.count), read)
        e.store_lanes(e.first_lanes(e.arguments.count), value, some)
        e.store(value, every)

    run(copy(), Vectors(count), source, target, whole)
    lanes = max(0, min(count, VECTOR))
    np.testing.assert_array_equal(target, np.where(np.arange(VECTOR) < lanes, source, 7))
    np.testing.assert_array_equal(whole, np.where(np.arange(VECTOR) < lanes, source, 0))


def test_bfloat16_values_are_rounded_to_nearest_even() -> None:
    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS, emitter.BFLOAT16S)
    def narrow_and_widen(e: Any) -> None:
        values, narrow = e.parameters
        e.store(e.load(values), narrow)
        e.store(e.load(narrow), values)

    step = 2**-7
    cases = {1 + step / 2: 1, 1 + step * 1.5: 1 + step * 2, 1 + step * 0.51: 1 + step, -1 - step * 0.49: -1}
    cases |= {np.inf: np.inf, np.nan: np.nan}
    values = np.zeros(VECTOR, np.float32)
    values[: len(cases)] = list(cases)
    run(narrow_and_widen(), Vectors(1), values, np.zeros(VECTOR, np.uint16))
    np.testing.assert_array_equal(values[: len(cases)], list(cases.values()))


def test_parameters_choose_among_kernels_that_are_compiled_once() -> None:
    written = []

    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS)
    def fill(e: Any, value: int, negative: bool = False) -> None:
        written.append(value)
        e.store(e.constant(-value if negative else value), *e.parameters)

    for value, options in [(3, {}), (4, {}), (3, {"negative": True}), (3, {"negative": False})]:
        out = np.zeros(VECTOR, np.float32)
        run(fill(value, **options), Vectors(1), out)
        assert out.tolist() == [-value if options.get("negative") else value] * VECTOR
    assert written == [3, 4, 3]


def test_threads_may_compile_at_the_same_time() -> None:
    @kernels.kernel(Vectors, cafx_lib_llvm.FLOATS)
    def fill(e: Any, value: int) -> None:
        e.store(e.constant(value), *e.parameters)

    results = np.zeros((6, VECTOR), np.float32)
    threads = [threading.Thread(target=lambda i=i: run(fill(i % 3), Vectors(1), results[i])) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results[:, 0].tolist() == [0, 1, 2, 0, 1, 2]


def test_invalid_ir_is_refused() -> None:
    with pytest.raises(RuntimeError, match="expected"):
        build.compile_ir("define nonsense")


def test_without_llvmlite_the_reason_is_stated(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> frozenset[str]:
        raise ImportError("No module named 'llvmlite'")

    monkeypatch.setattr(processor, "features", missing)
    assert processor.unavailable.__wrapped__() == "llvmlite cannot be loaded: No module named 'llvmlite'"


def test_the_package_is_imported_without_llvmlite() -> None:
    code = "import sys; sys.modules['llvmlite'] = None; import cafx_lib_llvm; print(cafx_lib_llvm.unavailable())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.startswith("llvmlite cannot be loaded")


PROGRAM = """
    import ctypes

    import attrs

    from cafx_lib_llvm import FLOATS, Arguments, kernel


    @attrs.frozen
    class Nothing(Arguments):
        unused: int


    @kernel(Nothing, FLOATS)
    def fill(e, value):
        print("compiled", end=" ")
        e.store(e.constant(value), *e.parameters)


    def run():
        out = (ctypes.c_float * 16)()
        call = fill(VALUE).call(Nothing(0))
        ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p)(call.address)(call.arguments.ctypes.data, out)
        print(out[15])
"""


@pytest.fixture
def program(tmp_path: Path) -> Iterator[Any]:
    """A function that runs a program with one kernel in a new process, and returns what it prints."""
    module = tmp_path / "one_kernel.py"

    def run_program(value: int = 3, before: str = "", **environment: str) -> str:
        module.write_text(textwrap.dedent(PROGRAM).replace("VALUE", str(value)))
        command = [sys.executable, "-c", f"import one_kernel\n{before}\none_kernel.run()"]
        variables = os.environ | {"PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"} | environment
        done = subprocess.run(command, env=variables, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    return run_program


@pytest.mark.slow
def test_a_second_process_compiles_nothing(program: Any, folder: Path) -> None:
    assert program() == "compiled 3.0"
    assert program() == "3.0"
    assert folder.stat().st_mode & 0o777 == 0o700
    assert [entry.stat().st_mode & 0o777 for entry in folder.iterdir()] == [0o600]


@pytest.mark.slow
def test_a_change_of_the_source_is_compiled(program: Any) -> None:
    assert program(3) == "compiled 3.0"
    assert program(4) == "compiled 4.0"


@pytest.mark.slow
@pytest.mark.parametrize(
    "change",
    [
        "llvm.get_host_cpu_name = lambda: 'x86-64-v3'",
        "llvm.llvm_version_info = (1, 2, 3)",
        "import llvmlite; llvmlite.__version__ = '1.2.3'",
        "from cafx_lib_llvm import build; build.OPTIMISATION = 1",
    ],
    ids=["processor", "LLVM", "llvmlite", "settings"],
)
def test_code_of_another_processor_version_or_setting_is_not_used(program: Any, change: str) -> None:
    assert program() == "compiled 3.0"
    assert program(before=f"import llvmlite.binding as llvm\n{change}") == "compiled 3.0"
    assert program() == "3.0"


@pytest.mark.slow
@pytest.mark.parametrize("damage", [lambda code: code[:-1], lambda code: code[:200] + b"?" + code[201:], lambda _: b""])
def test_a_damaged_entry_is_compiled_again(program: Any, folder: Path, damage: Any) -> None:
    program()
    (entry,) = folder.iterdir()
    sound = entry.read_bytes()
    entry.write_bytes(damage(sound))
    assert program() == "compiled 3.0"
    assert entry.read_bytes() == sound
    assert program() == "3.0"


@pytest.mark.slow
@pytest.mark.parametrize("mode", [0o720, 0o702, 0o777])
def test_a_folder_that_others_can_write_to_is_not_used(program: Any, folder: Path, mode: int) -> None:
    program()
    folder.chmod(mode)
    assert program() == "compiled 3.0"
    Cache(folder).put(KEY, CODE)
    assert len(list(folder.iterdir())) == 1


@pytest.mark.slow
def test_a_folder_that_cannot_be_created_is_no_error(program: Any, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert program(CAFX_CACHE=str(tmp_path / "file")) == "compiled 3.0"


@pytest.mark.slow
def test_an_empty_cafx_cache_turns_the_cache_off(program: Any) -> None:
    assert program(CAFX_CACHE="") == "compiled 3.0"
    assert program(CAFX_CACHE="") == "compiled 3.0"
