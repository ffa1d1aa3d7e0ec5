"""The composed schema is Caffe's, field by field, in text and on the wire.

What is not installed is left out: both sides are held against each other as far as plugins reach.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory, text_format
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from cafx.kernel import schema
from cafx.kernel.schema import FIRST_FREE_NUMBER, SCALAR_KINDS

COMPOSED = schema()
FIELD = descriptor_pb2.FieldDescriptorProto
DEPTH, FIELDS, ITEMS, EXAMPLES = 3, 5, 3, 50
SLOW = settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)

every_message = pytest.mark.parametrize("name", sorted(COMPOSED.names()))


class Reference:
    """Caffe's schema as far as it is installed here, made from the facts alone.

    Attributes:
        messages, enums: the facts; of LayerParameter's fields only those a plugin declares.
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
        """The message class called ``name``; skips the test if Caffe has none."""
        if name not in self.messages:
            pytest.skip(f"{name} is no message of Caffe's")
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
    """All that makes each field of a message what it is, by name."""
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
    """The stated default as a value, so that 1e-5 and 0.00001 are the same."""
    stated = field.HasField("default_value")
    return message.DESCRIPTOR.fields_by_name[field.name].default_value if stated else None


@every_message
def test_fields_are_caffe_s(name: str, reference: Reference) -> None:
    found = described(COMPOSED[name])
    ours = {field for field, facts in found.items() if facts["number"] >= FIRST_FREE_NUMBER}
    theirs = {field: facts for field, facts in found.items() if field not in ours}
    assert theirs == described(reference[name])


@every_message
def test_enums_are_caffe_s(name: str, reference: Reference) -> None:
    expected = reference[name].DESCRIPTOR.enum_types_by_name
    found = COMPOSED[name].DESCRIPTOR.enum_types_by_name
    assert {short: members(enum) for short, enum in expected.items()} == {
        short: members(enum) for short, enum in found.items() if short in expected
    }


def members(enum: Any) -> dict[str, int]:
    """Names and numbers of an enum."""
    return {value.name: value.number for value in enum.values}


def test_the_phase_is_caffe_s(reference: Reference) -> None:
    phase = COMPOSED["NetState"].DESCRIPTOR.fields_by_name["phase"].enum_type
    assert members(phase) == reference.enums["Phase"]


def test_nothing_of_caffe_s_is_missing(reference: Reference) -> None:
    if reference.absent:
        pytest.skip(f"no installed plugin declares {', '.join(reference.absent)}")


@every_message
@given(data=st.data())
@SLOW
def test_text_and_bytes_are_caffe_s(name: str, reference: Reference, data: st.DataObject) -> None:
    original = data.draw(filled(reference[name]))
    wire, text = original.SerializeToString(deterministic=True), text_format.MessageToString(original)
    read = COMPOSED.parse_bytes(wire, name)
    assert read.SerializeToString(deterministic=True) == wire
    assert COMPOSED.to_text(read) == text
    assert COMPOSED.parse_text(text, name) == read


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
    """A message with some of its fields set, those of message kind likewise."""
    made, facts = message(), described(message)
    known = [field for field in message.DESCRIPTOR.fields if depth or field.message_type is None]
    required = [field for field in known if facts[field.name]["label"] == "LABEL_REQUIRED"]
    chosen = draw(st.lists(st.sampled_from(known), unique=True, max_size=FIELDS)) if known else []
    for field in dict.fromkeys(required + chosen):
        one = values_of(field, facts[field.name]["type"], depth)
        if facts[field.name]["label"] == "LABEL_REPEATED":
            getattr(made, field.name).extend(draw(st.lists(one, max_size=ITEMS)))
        elif field.message_type is not None:
            getattr(made, field.name).CopyFrom(draw(one))
            getattr(made, field.name).SetInParent()
        else:
            setattr(made, field.name, draw(one))
    return made


def values_of(field: Any, kind: str, depth: int) -> st.SearchStrategy[Any]:
    """What one value of a field may be."""
    if field.message_type is not None:
        return filled(message_factory.GetMessageClass(field.message_type), depth - 1)
    if field.enum_type is not None:
        return st.sampled_from([value.number for value in field.enum_type.values])
    return SCALARS[kind.removeprefix("TYPE_").lower()]
