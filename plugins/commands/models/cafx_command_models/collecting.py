"""What ``cafx models publish`` puts into a folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError, Net, Phase, schema
from cafx.kernel.files import Kinds, misplaced, read_file
from cafx.kernel.net import read_net
from cafx.kernel.registry import registry
from cafx_lib_zoo import Card, about, fill, layers_of, reference_net, references
from cafx_lib_zoo.names import check_url
from cafx_lib_zoo.store import slug

if TYPE_CHECKING:
    from cafx.cli.lazy import Settings

Content = Path | bytes
DEPLOY, TRAINING, SOLVER, LABELS = "deploy.prototxt", "train_val.prototxt", "solver.prototxt", "labels.txt"
MAX_TEXT = 1 << 20
SUFFIXES = (".caffemodel.h5", ".h5", ".safetensors", ".caffemodel")
BODY = "# {name}\n\n{about}Get it with `cafx models get SOURCE --to {folder}`, where SOURCE is this folder's address.\n"


def collect(
    settings: Settings, net: str, out: str, options: Mapping[str, Any]
) -> tuple[Card, dict[str, Content], list[str]]:
    """The card, the files by name, and notices.

    Args:
        settings: of the command line.
        net: a file or a reference model's name.
        out: the folder to write, whose name is a nameless net's.
        options: of the command.

    Raises:
        CafxError: a file cannot be read, or the net is not valid or does not fit the weights.
    """
    for url in options["mirrors"]:
        check_url(url, local=False)
    files, described, nets = _nets(settings, net, options)
    notices = _check(files[DEPLOY], nets[0], options)
    for name, option in ((TRAINING, "train_net"), (SOLVER, "solver")):
        if options[option]:
            files[name] = Path(options[option])
            nets += [read_net(options[option], registry()).proto] if name == TRAINING else []
    name = options["name"] or nets[0].name or Path(out).name
    weights = None
    if options["weights"]:
        path = Path(options["weights"])
        weights = slug(name) + next((each for each in SUFFIXES if path.name.endswith(each)), ".caffemodel")
        files[weights] = path
    record, more = _preprocessing(options)
    files |= more
    text = read_file(options["text"], MAX_TEXT).decode("utf-8", "replace") if options["text"] else None
    card = Card(
        name,
        body=text
        if text is not None
        else BODY.format(name=name, about=f"{described}\n\n" if described else "", folder=slug(name)),
        license=options["license_"],
        tags=("caffe", "cafx", *options["tags"]),
        pipeline_tag=options["task"],
        metrics=options["metrics"],
        net=DEPLOY,
        weights=weights,
        labels=LABELS if LABELS in files else None,
        preprocessing=record,
        layers=layers_of(nets),
        mirrors=options["mirrors"],
    )
    return card, files, notices


def _nets(settings: Settings, net: str, options: Mapping[str, Any]) -> tuple[dict[str, Content], str, list[Any]]:
    """The prototxts, what is said of them, and their messages, the one for inference first."""
    if net in references() and not Path(net).is_file():
        messages = {DEPLOY: reference_net(net)}
        if not options["train_net"]:
            messages["train.prototxt"] = reference_net(net, train=True)
        files = {name: schema().to_text(message).encode() for name, message in messages.items()}
        return dict(files), about(net), list(messages.values())
    if not Path(net).exists():
        known = f"a prototxt, a net.py or a reference model: {', '.join(references()[:4])}, …"
        raise CafxError("there is no such net", where=net, expected=known, remedy="'cafx models list' shows all")
    if not net.endswith(".py"):
        wrong = misplaced(net, Kinds.NET)
        if wrong:
            raise wrong
    message = settings.definition(net, "TEST").proto
    if net.endswith(".py"):
        return {DEPLOY: schema().to_text(message).encode()}, "", [message]
    return {DEPLOY: Path(net)}, "", [message]


def _check(content: Content, message: Any, options: Mapping[str, Any]) -> list[str]:
    """Build the net with its weights, so that nothing is published that cannot be used."""
    if not options["weights"]:
        return ["without --weights, the folder has an architecture only"]
    source = str(content) if isinstance(content, Path) else message
    net = Net(source, Phase.TEST, trust=options["trust"])
    try:
        unused = fill(net, Path(options["weights"]))
        return [f"the weights also have layers that the net does not: {', '.join(unused[:5])}"] if unused else []
    finally:
        net.close()


def _preprocessing(options: Mapping[str, Any]) -> tuple[dict[str, Any] | None, dict[str, Content]]:
    """The record for the front matter, and the files that it names."""
    from cafx_lib_preprocessing import read_preprocessing

    files: dict[str, Content] = {LABELS: Path(options["labels"])} if options["labels"] else {}
    if not options["preprocessing"]:
        return None, files
    record = read_preprocessing(options["preprocessing"])
    if isinstance(record.mean, str):
        name = "mean" + Path(record.mean).suffix
        files[name] = Path(record.mean)
        record = record.changed(mean=name)
    if isinstance(record.labels, str):
        files.setdefault(LABELS, Path(record.labels))
    if LABELS in files:
        record = record.changed(labels=LABELS)
    return json.loads(record.to_json()), files
