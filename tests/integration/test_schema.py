"""The composed schema equals Caffe's, field by field, in text and binary.

Messages of plugins that are not installed are left out of the comparison.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cafx.conformance.catalogue import of_caffe
from cafx.kernel.schema import FIRST_FREE_NUMBER, SCALAR_KINDS, compose

COMPOSED = compose(of_caffe())
FIELD = descriptor_pb2.FieldDescriptorProto
DEPTH, FIELDS, ITEMS = 3, 5, 3
EXAMPLES = pytest.mark.parametrize("count", [5, pytest.param(50, marks=pytest.mark.slow)])

every_message = pytest.mark.parametrize("name", sorted(COMPOSED.names()))


class Reference:
    """Caffe's schema, built from facts, without the messages of plugins that are not installed.

    Attributes:
        messages: fields by message; for LayerParameter those of installed plugins.
        enums: numbers by name, by enum.
        absent: the messages left out.
    """

    def __init__(self, facts: dict[str, Any]) -> None:
        self.enums: dict[str, dict[str, int]] = facts["enums"]
        self.absent = sorted(set(facts["messages"]) - set(COMPOSED.names()))
        self.messages = {
            name: [each for each in fields if each["type"] not in self.absent]
            for name, fields in facts["messages"].items()
            if name not in self.absent
        }
        file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
        for name, fields in self.messages.items():
            built = file.message_type.add(name=name)
            for each in fields:
                self._add_field(built, each)
            for enum in [enum for enum in self.enums if enum.startswith(f"{name}.")]:
                _add_enum(built.enum_type.add(name=enum.split(".")[1]), self.enums[enum])
        for enum in [enum for enum in self.enums if "." not in enum]:
            _add_enum(file.enum_type.add(name=enum), self.enums[enum])
        self.pool = descriptor_pool.DescriptorPool()
        self.pool.AddSerializedFile(file.SerializeToString())

    def __getitem__(self, name: str) -> Any:
        """The class of a message; skips the test if Caffe does not have it."""
        if name not in self.messages:
            pytest.skip(f"Caffe has no message {name}")
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(f"caffe.{name}"))

    def _add_field(self, built: Any, fact: dict[str, Any]) -> None:
        field = built.field.add(name=fact["name"], number=fact["number"])
        field.label = FIELD.Label.Value(f"LABEL_{fact['label'].upper()}")
        scalar, enum = fact["type"] in SCALAR_KINDS, fact["type"] in self.enums
        field.type = FIELD.Type.Value(f"TYPE_{fact['type'].upper() if scalar else 'ENUM' if enum else 'MESSAGE'}")
        if not scalar:
            field.type_name = f".caffe.{fact['type']}"
        if "default" in fact:
            field.default_value = fact["default"]
        if fact.get("packed"):
            field.options.packed = True


def _add_enum(built: Any, members: dict[str, int]) -> None:
    for name, number in members.items():
        built.value.add(name=name, number=number)


@pytest.fixture(scope="session")
def reference(shared: Path) -> Reference:
    """Caffe's schema."""
    return Reference(json.loads((shared / "caffe" / "schema.json").read_text("utf-8")))


def described(message: Any) -> dict[str, dict[str, Any]]:
    """Number, label, type, default and packing of each field of a message."""
    proto = descriptor_pb2.DescriptorProto()
    message.DESCRIPTOR.CopyToProto(proto)
    return {
        field.name: {
            "number": field.number,
            "label": FIELD.Label.Name(field.label),
            "type": field.type_name or FIELD.Type.Name(field.type),
            "default": default_of(message, field),
            "packed": field.options.packed,
        }
        for field in proto.field
    }


def default_of(message: Any, field: Any) -> Any:
    """The default as a value, so that 1e-5 and 0.00001 are equal; None if there is none."""
    if not field.HasField("default_value"):
        return None
    return message.DESCRIPTOR.fields_by_name[field.name].default_value


@every_message
def test_fields_equal_caffe_s(name: str, reference: Reference) -> None:
    fields = described(COMPOSED[name])
    caffe_fields = {field: facts for field, facts in fields.items() if facts["number"] < FIRST_FREE_NUMBER}
    assert caffe_fields == described(reference[name])


@every_message
def test_enums_equal_caffe_s(name: str, reference: Reference) -> None:
    expected = reference[name].DESCRIPTOR.enum_types_by_name
    composed = COMPOSED[name].DESCRIPTOR.enum_types_by_name
    assert {short: members(enum) for short, enum in expected.items()} == {
        short: members(enum) for short, enum in composed.items() if short in expected
    }


def members(enum: Any) -> dict[str, int]:
    """Names and numbers of an enum."""
    return {value.name: value.number for value in enum.values}


def test_phase_equals_caffe_s(reference: Reference) -> None:
    phase = COMPOSED["NetState"].DESCRIPTOR.fields_by_name["phase"].enum_type
    assert members(phase) == reference.enums["Phase"]


def test_every_message_of_caffe_has_a_plugin(reference: Reference) -> None:
    if reference.absent:
        pytest.skip(f"no installed plugin declares {', '.join(reference.absent)}")


@every_message
@EXAMPLES
def test_text_and_bytes_equal_caffe_s(name: str, count: int, reference: Reference) -> None:
    @settings(max_examples=count, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.too_slow])
    @given(filled(reference[name]))
    def check(original: Any) -> None:
        wire, text = original.SerializeToString(deterministic=True), text_format.MessageToString(original)
        read = COMPOSED.parse_bytes(wire, name)
        assert read.SerializeToString(deterministic=True) == wire
        assert COMPOSED.to_text(read) == text
        assert COMPOSED.parse_text(text, name) == read

    check()


SCALARS: dict[str, st.SearchStrategy[Any]] = {
    "int32": st.integers(-(2**31), 2**31 - 1),
    "int64": st.integers(-(2**63), 2**63 - 1),
    "uint32": st.integers(0, 2**32 - 1),
    "uint64": st.integers(0, 2**64 - 1),
    "float": st.floats(width=32, allow_nan=False),
    "double": st.floats(allow_nan=False),
    "bool": st.booleans(),
    "string": st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    "bytes": st.binary(max_size=8),
}


@st.composite
def filled(draw: st.DrawFn, message: Any, depth: int = DEPTH) -> Any:
    """A message with some of its fields set, recursively."""
    result, facts = message(), described(message)
    known = [field for field in message.DESCRIPTOR.fields if depth or field.message_type is None]
    required = [field for field in known if facts[field.name]["label"] == "LABEL_REQUIRED"]
    chosen = draw(st.lists(st.sampled_from(known), unique=True, max_size=FIELDS)) if known else []
    for field in dict.fromkeys(required + chosen):
        one = values_of(field, facts[field.name]["type"], depth)
        if facts[field.name]["label"] == "LABEL_REPEATED":
            getattr(result, field.name).extend(draw(st.lists(one, max_size=ITEMS)))
        elif field.message_type is not None:
            getattr(result, field.name).CopyFrom(draw(one))
            getattr(result, field.name).SetInParent()
        else:
            setattr(result, field.name, draw(one))
    return result


def values_of(field: Any, kind: str, depth: int) -> st.SearchStrategy[Any]:
    """Values of one field."""
    if field.message_type is not None:
        return filled(message_factory.GetMessageClass(field.message_type), depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return SCALARS[kind.removeprefix("TYPE_").lower()]
