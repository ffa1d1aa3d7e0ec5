"""Modules become functions that are called, whoever makes them and when."""

from __future__ import annotations

import ctypes
import threading

import pytest

import cafx_lib_llvm

pytestmark = pytest.mark.skipif(cafx_lib_llvm.unavailable() is not None, reason=f"{cafx_lib_llvm.unavailable()}")


def adder(name: str, more: int) -> int:
    text = f"define i64 @{name}(i64 %x) {{ %y = add i64 %x, {more}\n ret i64 %y }}"
    return cafx_lib_llvm.build(text, name)


def call(address: int, value: int) -> int:
    return int(ctypes.CFUNCTYPE(ctypes.c_int64, ctypes.c_int64)(address)(value))


def test_each_module_keeps_its_own_function() -> None:
    addresses = [adder(f"test_add_{i}", i) for i in range(5)]
    assert [call(each, 100) for each in addresses] == [100, 101, 102, 103, 104]


def test_threads_may_build_at_once() -> None:
    made: dict[int, int] = {}

    def make(i: int) -> None:
        made[i] = adder(f"test_thread_{i}", i)

    threads = [threading.Thread(target=make, args=(i,)) for i in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert {i: call(address, 1) for i, address in made.items()} == {i: i + 1 for i in range(6)}


def test_what_is_no_module_is_refused() -> None:
    with pytest.raises(RuntimeError, match="expected"):
        cafx_lib_llvm.build("define nonsense", "nonsense")


def test_without_llvmlite_the_reason_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> frozenset[str]:
        raise ImportError("No module named 'llvmlite'")

    monkeypatch.setattr(cafx_lib_llvm, "features", missing)
    assert cafx_lib_llvm.unavailable.__wrapped__() == "llvmlite does not load: No module named 'llvmlite'"
