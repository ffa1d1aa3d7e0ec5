"""Each check of the checklist of dialects catches a dialect that violates its requirement."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import IntEnum
from typing import Any

import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.dialect import DialectCase
from cafx.kernel import Message, option
from cafx.kernel.schema import Dialect, adds_values, extends, ignored, read_by, rewritten
from cafx.kernel.schema.dialect import READ, Effect

CHECKS = load_checks("dialect")


def round_mode(pooling: Any) -> None:
    """``rounds_up`` is ``round_mode: CEIL`` or FLOOR."""
    pooling.round_mode = 0 if pooling.rounds_up else 1


def pooling(**given: Any) -> type[Message]:
    """Three fields: rewritten, read and ignored; ``given`` replaces or adds some."""
    fields = {
        "rounds_up": option(9001, "bool", False, doc="round up", effect=rewritten(round_mode, "round_mode")),
        "apart": option(9002, "uint32", doc="distance of values", effect=read_by("Pooling")),
        "remark": option(9003, "string", doc="a note", effect=ignored("it is a note")),
        **given,
    }
    namespace = {
        "__doc__": "How a fork pools.",
        "__annotations__": dict.fromkeys(fields, "Any"),
        "__module__": __name__,
    }
    return extends(TARGET[0])(type("PoolingOfTest", (Message,), {**namespace, **fields}))


TARGET = ["PoolingParameter"]


def cases() -> Iterable[DialectCase]:
    """The field that is rewritten, and one that is refused."""
    yield DialectCase("up", "kernel_size: 2 rounds_up: true", "kernel_size: 2 round_mode: CEIL", "PoolingParameter")


def dialect(*declares: type, doc: str = "How a fork of Caffe pools.", **attributes: Any) -> type[Dialect]:
    """A dialect."""
    given = {
        "fork": "TestFork",
        "declares": declares or (pooling(),),
        "types": ("Pooling",),
        "cases": staticmethod(cases),
    }
    return type("DialectOfTest", (Dialect,), {"__doc__": doc, "__module__": __name__, **given, **attributes})


@adds_values("No.Such", read_by("nobody"))
class Nowhere(IntEnum):
    """A value of an enum that does not exist."""

    SEVEN = 7


def with_cases(*given: DialectCase) -> type[Dialect]:
    """The dialect with other cases."""
    return dialect(cases=staticmethod(lambda: given))


def elsewhere(target: str, **fields: Any) -> type[Message]:
    """Fields of another message."""
    TARGET[0] = target
    try:
        return pooling(**fields)
    finally:
        TARGET[0] = "PoolingParameter"


UP = next(iter(cases()))
NO_EFFECT = option(9004, "uint32", doc="something")
NO_DOC = option(9004, "uint32", doc="", effect=read_by("Pooling"))
SAME_NUMBER = option(9002, "uint32", doc="something", effect=read_by("Pooling"))
OWN_NAME = option(9004, "uint32", doc="size", effect=read_by("Pooling"))


LOST = option(9004, "uint32", doc="something", effect=Effect(READ, "read by nobody", lambda _: None))
"""A field that is said to be read, and does not stay."""


WRONG: list[tuple[str, Callable[[], Any]]] = [
    ("entry-point", lambda: type("NoDialect", (), {"__doc__": Dialect.__doc__, "cases": staticmethod(cases)})),
    ("docstring", lambda: dialect(doc="Pools.")),
    ("cases", lambda: with_cases(UP, UP)),
    ("fork", lambda: dialect(fork=" ")),
    ("declared", lambda: dialect(pooling(odd=NO_EFFECT))),
    ("declared", lambda: dialect(pooling(odd=NO_DOC))),
    ("declared", lambda: dialect(declares=(), types=())),
    ("targets", lambda: dialect(elsewhere("NoSuchParameter"))),
    ("targets", lambda: dialect(pooling(kernel_size=OWN_NAME))),
    ("targets", lambda: dialect(Nowhere)),
    ("clashes", lambda: dialect(pooling(odd=SAME_NUMBER))),
    ("clashes", lambda: dialect(pooling(), pooling())),
    ("effects", lambda: dialect(pooling(lost=LOST))),
    ("rewritten", lambda: with_cases()),
    ("cases-read", lambda: with_cases(DialectCase("up", UP.text, "kernel_size: 2 round_mode: FLOOR", UP.message))),
    ("cases-read", lambda: with_cases(DialectCase("up", UP.text, message=UP.message, error="rounds_up"))),
    ("cases-read", lambda: with_cases(DialectCase("odd", "no_such_field: 1", "", UP.message))),
    ("types", lambda: dialect(types=("NoSuchLayerAnywhere",))),
]


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "made"), WRONG, ids=lambda each: each if isinstance(each, str) else "")
def test_the_check_catches_it(check_id: str, made: Callable[[], Any]) -> None:
    assert failures("dialect", made(), check_id, name="testfork")


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_dialect_passes(check_id: str) -> None:
    assert failures("dialect", dialect(), check_id, name="testfork") == []


def test_a_field_that_changes_on_the_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from google.protobuf import text_format

    monkeypatch.setattr(text_format, "MessageToString", lambda message: "")
    assert failures("dialect", dialect(), "round-trip", name="testfork")


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} | {"round-trip"} == set(CHECKS)
