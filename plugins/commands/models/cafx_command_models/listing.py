"""``cafx models list``, ``search`` and ``show``."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import click

from cafx.cli.options import json_option
from cafx_command_models.places import located, max_size_option, size_text

if TYPE_CHECKING:
    from cafx_lib_zoo import Card

SHOWN_DIGITS = 16


@click.command("list")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=click.Path(exists=True, file_okay=False))
@json_option
def list_models(folders: tuple[str, ...], as_json: bool) -> None:
    """List reference models, downloaded models, and those in subfolders of DIR.

    A reference model is an architecture without weights; 'cafx plugins --kind model' shows which package has it.

    \b
    Example:
    cafx models list models/
    """
    _print(_entries(folders), as_json)


@click.command()
@click.argument("word")
@click.argument("folders", metavar="[DIR]...", nargs=-1, type=click.Path(exists=True, file_okay=False))
@click.option("--source", metavar="NAME", help="Ask this source, such as hf, instead of looking here.")
@json_option
def search(word: str, folders: tuple[str, ...], source: str | None, as_json: bool) -> None:
    """Search names, descriptions, tasks and tags for WORD.

    \b
    Example:
    cafx models search detection
    """
    from cafx.kernel import CafxError, registry
    from cafx_lib_zoo import Limits

    if source is None:
        entries = [each for each in _entries(folders) if word.lower() in json.dumps(each).lower()]
    else:
        found = registry().load("source", source).search(word, Limits())
        if found is None:
            raise CafxError(f"the source '{source}:' cannot search", expected="hf")
        entries = [{"kind": source, **each} for each in found]
    _print(entries, as_json)
    if not entries and not as_json:
        click.echo(f"nothing matches '{word}'", err=True)


@click.command()
@click.argument("model")
@max_size_option
@json_option
def show(model: str, max_size: int, as_json: bool) -> None:
    """Show the card of MODEL: a folder, an address, a downloaded or a reference model; nothing else is downloaded.

    \b
    Example:
    cafx models show squeezenet
    cafx models show hf:org/name
    """
    from cafx_lib_zoo import ModelFolder, parse_card, references

    known = "/" not in model and ":" not in model and model in references()
    if known:
        entry = _reference(model)
    else:
        place = located(model, max_size)
        if isinstance(place, ModelFolder):
            entry = _details(place.card, str(place.path))
        else:
            entry = _details(parse_card(place.card(), f"{place.title}: readme.md"), place.title)
    if as_json:
        click.echo(json.dumps(entry))
        return
    for name, value in entry.items():
        for line in _lines(name, value):
            click.echo(line)


def _entries(folders: tuple[str, ...]) -> list[dict[str, Any]]:
    """What there is: reference models, then downloaded ones, then those in folders."""
    from pathlib import Path

    from cafx.kernel import CafxError
    from cafx_lib_zoo import ModelFolder, Store, about, references
    from cafx_lib_zoo.store import has_card

    entries: list[dict[str, Any]] = []
    for name in references():
        try:
            entries.append({"kind": "reference", "name": name, "about": about(name)})
        except CafxError as error:
            entries.append({"kind": "reference", "name": name, "about": f"error: {error}"})
    store = Store.default()
    kinds = [("downloaded", store.models() if store else [])]
    for folder in map(Path, folders):
        inner = [each for each in sorted(folder.iterdir()) if each.is_dir() and has_card(each)]
        kinds.append(("folder", [folder, *inner] if has_card(folder) else inner))
    for kind, paths in kinds:
        for path in paths:
            entry = {"kind": kind, "name": path.name, "path": str(path)}
            try:
                entries.append(entry | _summary(ModelFolder.read(path).card))
            except CafxError as error:
                entries.append(entry | {"about": f"error: {error}"})
    return entries


def _summary(card: Card) -> dict[str, Any]:
    about = ", ".join(each for each in (card.name, card.pipeline_tag, card.license) if each)
    return {"about": about, "tags": list(card.tags), "bytes": card.size}


def _print(entries: list[dict[str, Any]], as_json: bool) -> None:
    if as_json:
        click.echo(json.dumps(entries))
        return
    width = max((len(each["name"]) for each in entries), default=0)
    for kind in dict.fromkeys(each["kind"] for each in entries):
        click.echo(f"{kind}:")
        for each in entries:
            if each["kind"] == kind:
                size = f" ({size_text(each['bytes'])})" if "bytes" in each else ""
                place = f"\n    {each['path']}" if "path" in each else ""
                click.echo(f"  {each['name']:<{width}}  {each['about']}{size}{place}")


def _reference(name: str) -> dict[str, Any]:
    """What is known of a reference model."""
    from cafx.kernel import registry
    from cafx_lib_zoo import about, layers_of, reference_net

    net = reference_net(name)
    inputs = {
        layer.top[0]: [list(shape.dim) for shape in layer.input_param.shape]
        for layer in net.layer
        if layer.type == "Input"
    }
    return {
        "name": name,
        "about": about(name),
        "package": registry().find("model", name).distribution,
        "inputs": inputs,
        "layers": len(net.layer),
        "layer types": list(layers_of([net])),
        "weights": None,
        "publish": f"cafx models publish {name} {name}/ --weights YOURS.caffemodel",
    }


def _details(card: Card, where: str) -> dict[str, Any]:
    """What a card states, with what is missing here."""
    from cafx_lib_zoo import lacking

    needed = lacking(card.layers, where)
    return {
        "name": card.name,
        "from": where,
        "license": card.license,
        "task": card.pipeline_tag or None,
        "tags": list(card.tags),
        "metrics": dict(card.metrics),
        "net": card.net,
        "weights": card.weights,
        "labels": card.labels,
        "preprocessing": _preprocessing(card),
        "files": {name: {"bytes": x.size, "sha256": x.sha256} for name, x in card.files.items()},
        "bytes": card.size,
        "mirrors": list(card.mirrors),
        "verifiable": card.is_complete,
        "layers": dict(card.layers),
        "missing": str(needed) if needed else None,
    }


def _preprocessing(card: Card) -> str | None:
    """The card's preprocessing in words."""
    from cafx_lib_preprocessing import Preprocessing

    return Preprocessing.from_values(dict(card.preprocessing)).describe() if card.preprocessing is not None else None


def _lines(name: str, value: Any) -> list[str]:
    """One entry for people; what is empty is left out."""
    if value is None or value in ([], {}, ""):
        return []
    if name == "files":
        width = max(map(len, value))
        return ["files:"] + [f"  {each:<{width}}  {_file(about)}" for each, about in value.items()]
    if name == "bytes":
        return [f"size: {size_text(value)}"]
    if name == "verifiable":
        return [] if value else ["verifiable: no, digests are missing"]
    if isinstance(value, dict):
        return [f"{name}:"] + [f"  {key}: {each}" for key, each in value.items()]
    return [f"{name}: {', '.join(map(str, value)) if isinstance(value, list) else value}"]


def _file(about: dict[str, Any]) -> str:
    size = "unknown size" if about["bytes"] is None else size_text(about["bytes"])
    return f"{size:>10}  " + (f"sha256 {about['sha256'][:SHOWN_DIGITS]}…" if about["sha256"] else "no digest")
