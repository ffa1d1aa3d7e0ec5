"""``--set FIELD=VALUE``: changing options of a solver from the command line."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from cafx.cli.files import SOLVER, is_solver
from cafx.kernel import CafxError, UnknownNameError, schema
from cafx.kernel.errors import did_you_mean

OPTION = "--set"
INLINE_NETS = ("net_param", "train_net_param", "test_net_param")


def apply_changes(solver: Any, changes: Iterable[str]) -> Any:
    """A copy of a SolverParameter with some fields replaced.

    Args:
        solver: the SolverParameter message.
        changes: ``FIELD=VALUE`` texts. A field of a nested message is ``train_state.level``, but an option that a
            solver type or policy declares for itself needs no prefix; values of a repeated field are separated
            by commas, and an empty value clears it.

    Raises:
        CafxError: an unknown field, or a value it cannot hold.
    """
    changed = type(solver)()
    changed.CopyFrom(solver)
    for text in changes:
        _apply(changed, text)
    return changed


def _apply(solver: Any, text: str) -> None:
    name, equals, value = text.partition("=")
    if not equals:
        raise CafxError(OPTION, found=text, expected="FIELD=VALUE, as in base_lr=0.001")
    *parents, last = name.strip().split(".")
    parents = parents or _holder(solver, last)
    message = solver
    for parent in parents:
        field = _field(message, parent)
        if field.is_repeated or field.cpp_type != field.CPPTYPE_MESSAGE:
            raise CafxError(f"'{parent}' has no single field '{last}'", where=OPTION, found=text)
        message = getattr(message, parent)
    field = _field(message, last)
    message.ClearField(field.name)
    if value.strip() or (field.cpp_type == field.CPPTYPE_STRING and not field.is_repeated):
        prototxt = _prototxt(field, value)
        for parent in reversed(parents):
            prototxt = f"{parent} {{ {prototxt} }}"
        solver.MergeFrom(_parse(prototxt))
    elif not field.is_repeated:
        raise CafxError(f"no value for '{name.strip()}'", where=OPTION, found=text)


def _holder(solver: Any, name: str) -> list[str]:
    """The message of a solver type or policy that alone has the option ``name``, which is no field of the solver."""
    fields = solver.DESCRIPTOR.fields
    own = [each for each in fields if each.name.endswith("_param") and each.name not in INLINE_NETS]
    holders = [each.name for each in own if each.message_type and name in each.message_type.fields_by_name]
    return holders if len(holders) == 1 and name not in solver.DESCRIPTOR.fields_by_name else []


def _field(message: Any, name: str) -> Any:
    """The descriptor of a message's field."""
    field = message.DESCRIPTOR.fields_by_name.get(name)
    if field is None:
        known = [each.name for each in message.DESCRIPTOR.fields]
        owner = "the solver" if is_solver(message) else message.DESCRIPTOR.name
        raise UnknownNameError(f"{owner} has no field '{name}'", where=OPTION, remedy=did_you_mean(name, known))
    return field


def _parse(text: str) -> Any:
    try:
        return schema().parse_text(text, SOLVER)
    except CafxError as error:
        error.where = OPTION  # the line number of a generated text would mislead
        raise


def _prototxt(field: Any, value: str) -> str:
    """One field as prototxt: strings in quotes, messages in braces, one line per repeated value."""
    values = value.split(",") if field.is_repeated else [value]
    if field.cpp_type == field.CPPTYPE_MESSAGE and "{" not in value:
        return f"{field.name} {{ {value} }}"
    if field.cpp_type == field.CPPTYPE_STRING:
        values = [_quoted(each) for each in values]
    elif not all(each.strip() for each in values):
        raise CafxError(f"empty value in the list for '{field.name}'", where=OPTION, found=value)
    return "\n".join(f"{field.name}: {each.strip()}" for each in values)


def _quoted(text: str) -> str:
    """A prototxt string; text already in quotes is returned unchanged."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'
