"""What a person names on the command line: a net.py, a solver's or a net's prototxt."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from cafx.kernel import CafxError, Phase, UnknownNameError, registry, schema
from cafx.kernel.errors import did_you_mean
from cafx.kernel.training import net_sources, read_solver

PYTHON = ".py"


def load_solver(path: str, changes: Sequence[str] = ()) -> Any:
    """The SolverParameter of a solver's prototxt or a net.py, with ``--set`` changes made."""
    if Path(path).suffix != PYTHON:
        return change(_read_solver(path), changes)
    found = load_python_file(path)
    if not is_solver(found):
        raise CafxError(
            "defines no solver", where=path, expected="solver = SolverSpec(net=..., base_lr=..., ...)",
            remedy="a net alone can be shown and timed (cafx net, cafx time), not trained",
        )  # fmt: skip
    return change(found, changes)


def load_net(path: str, phase: Phase) -> Any:
    """What `cafx.kernel.Net` takes: a net's prototxt as it is, or the net a net.py or solver names."""
    if Path(path).suffix == PYTHON:
        found = load_python_file(path)
        return _net_of(found, path, phase) if is_solver(found) else found
    try:
        schema().read_text(path, "NetParameter")
    except UnknownNameError:
        if not _reads_as(path, "SolverParameter"):
            raise
        return _net_of(read_solver(path, registry()), path, phase)
    return path


def load_python_file(path: str) -> Any:
    """The SolverParameter or NetParameter a net.py defines."""
    if not Path(path).is_file():
        raise CafxError("there is no such file", where=path, remedy="check the path")
    from cafx.dsl import load_python

    return load_python(path).to_proto()


def is_solver(proto: Any) -> bool:
    """Whether a message is a SolverParameter."""
    return bool(proto.DESCRIPTOR.name == "SolverParameter")


def change(options: Any, changes: Iterable[str]) -> Any:
    """``options`` with each ``FIELD=VALUE`` put in; a list is stated as values with commas.

    A field of a message within is ``train_state.level``; a list is emptied by no value at all.
    """
    changed = type(options)()
    changed.CopyFrom(options)
    for text in changes:
        name, equals, value = text.partition("=")
        if not equals:
            raise CafxError("--set", found=text, expected="FIELD=VALUE, as in base_lr=0.001")
        *above, last = name.strip().split(".")
        holder = changed
        for part in above:
            field = _field(holder, part)
            if field.is_repeated or field.cpp_type != field.CPPTYPE_MESSAGE:
                raise CafxError(f"'{part}' has no single field '{last}'", where="--set", found=text)
            holder = getattr(holder, part)
        field = _field(holder, last)
        holder.ClearField(field.name)
        if value.strip() or (field.cpp_type == field.CPPTYPE_STRING and not field.is_repeated):
            stated = _as_text(field, value)
            for part in reversed(above):
                stated = f"{part} {{ {stated} }}"
            changed.MergeFrom(_parsed(stated))
        elif not field.is_repeated:
            raise CafxError(f"'{name.strip()}' is given no value", where="--set", found=text)
    return changed


def _field(message: Any, name: str) -> Any:
    """The description of a message's field; UnknownNameError where it has none of that name."""
    found = message.DESCRIPTOR.fields_by_name.get(name)
    if found is None:
        known = [each.name for each in message.DESCRIPTOR.fields]
        holder = "the solver" if is_solver(message) else message.DESCRIPTOR.name
        raise UnknownNameError(f"{holder} has no field '{name}'", where="--set", remedy=did_you_mean(name, known))
    return found


def _parsed(text: str) -> Any:
    try:
        return schema().parse_text(text, "SolverParameter")
    except CafxError as error:
        error.where = "--set"  # a line number would mean nothing here
        raise


def _as_text(field: Any, value: str) -> str:
    """One field as prototxt: text needs quotes, lists one line a value, messages braces."""
    values = value.split(",") if field.is_repeated else [value]
    if field.cpp_type == field.CPPTYPE_MESSAGE and "{" not in value:
        return f"{field.name} {{ {value} }}"
    if field.cpp_type == field.CPPTYPE_STRING:
        values = [_quoted(each) for each in values]
    elif not all(each.strip() for each in values):
        raise CafxError(f"'{field.name}' is given no value between two commas", where="--set", found=value)
    return "\n".join(f"{field.name}: {each.strip()}" for each in values)


def _quoted(text: str) -> str:
    """A string as prototxt has it, unless it is in quotes already."""
    if len(text) > 1 and text[0] == text[-1] and text[0] in "'\"":
        return text
    escaped = text.replace("\\", "\\\\").replace('"', '\\"')
    return f'"{escaped}"'


def _read_solver(path: str) -> Any:
    try:
        return read_solver(path, registry())
    except UnknownNameError as error:
        if _reads_as(path, "NetParameter"):
            error.remedy = "this is a net: name the prototxt of its solver, or score it with cafx test"
        raise


def _reads_as(path: str, name: str) -> bool:
    try:
        schema().read_text(path, name)
    except CafxError:
        return False
    return True


def _net_of(options: Any, path: str, phase: Phase) -> Any:
    """The net a solver trains, or the first it tests."""
    train, tests = net_sources(options, Path(path), registry())
    return (tests[0] if phase is Phase.TEST and tests else train).source
