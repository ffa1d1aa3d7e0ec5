"""Each check of the checklist of ONNX converters catches a converter that violates its requirement."""

from __future__ import annotations

from typing import Any

import pytest

from cafx.conformance import Subject, load_checks
from cafx.conformance.catching import problems_of
from cafx.kernel import Registry
from cafx.kernel.registry import installed

onnx = pytest.importorskip("cafx_lib_onnx")
CHECKS = load_checks("onnx")
Converter = onnx.Converter


class Absolute(Converter):
    """One node: Abs."""

    operators = ("Abs",)

    @staticmethod
    def export(layer: Any, context: Any) -> None:
        """See `Converter`."""
        context.add("Abs", context.bottoms, context.tops)

    @staticmethod
    def import_(context: Any) -> None:
        """See `Converter`."""
        context.add("AbsVal", context.inputs)


class Refused(Absolute):
    """No node at all."""

    @staticmethod
    def export(layer: Any, context: Any) -> None:
        """Refuse."""
        raise context.unsupported("never")


class Negative(Absolute):
    """Another node: Neg."""

    @staticmethod
    def export(layer: Any, context: Any) -> None:
        """The wrong operator."""
        context.add("Neg", context.bottoms, context.tops)


class Misread(Absolute):
    """A converter that imports something else."""

    @staticmethod
    def import_(context: Any) -> None:
        """Another layer."""
        context.add("ReLU", context.inputs)


class Unread(Absolute):
    """A converter that imports nothing."""

    @staticmethod
    def import_(context: Any) -> None:
        """Refuse."""
        raise context.unsupported("never")


class Bound(Absolute):
    """A converter that needs an instance."""

    def export(self, layer: Any, context: Any) -> None:  # type: ignore[override]
        """Not static."""


WRONG: list[tuple[str, Any]] = [
    ("entry-point", type("NoConverter", (), {"__doc__": "Nothing."})),
    ("entry-point", Bound),
    ("docstring", type("Undocumented", (Absolute,), {})),
    ("partial", type("Vague", (Absolute,), {"__doc__": "Abs.", "partial": None})),
    ("operators", type("Unknown", (Absolute,), {"__doc__": "Abs.", "operators": ("NoSuchOperator",)})),
    ("exports", Refused),
    ("computes", Negative),
    ("imports", Misread),
    ("imports", Unread),
]


def subject(converter: Any, layer: str = "AbsVal") -> Subject:
    """A converter in place of the installed one."""
    plugins = Registry([each for each in installed() if (each.group, each.name) != ("cafx.onnx", layer)])
    plugins.add("onnx", layer, converter)
    return Subject.of(layer, plugins, "onnx")


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "converter"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, converter: Any) -> None:
    assert problems_of(subject(converter), "onnx", check_id)


@pytest.mark.slow
@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_converter_passes(check_id: str) -> None:
    assert problems_of(subject(Absolute), "onnx", check_id) == []


def test_a_converter_of_a_layer_that_is_not_installed_is_told() -> None:
    assert "unknown layer type" in problems_of(subject(Absolute, "NoSuchLayer"), "onnx", "layer")[0]


def test_what_a_converter_leaves_out_is_not_compared() -> None:
    partial = type("Partial", (Negative,), {"__doc__": "Neg.", "partial": "the loss is left out"})
    assert problems_of(subject(partial), "onnx", "computes") == []


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} | {"layer"} == set(CHECKS)
