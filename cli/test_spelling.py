"""Options in Caffe's spelling: one dash, underscores, switches with values; and hints for unknown ones."""

from __future__ import annotations

import doctest
import hashlib
import importlib
import subprocess
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from cafx.cli.meanings import meaning
from cafx.cli.spelling import respelled

Run = Callable[..., subprocess.CompletedProcess[str]]

USAGE = 2
COMMAND = click.Command(
    "train",
    params=[
        click.Argument(["model"]),
        click.Option(["--snapshot"]),
        click.Option(["--weights", "-w"], multiple=True),
        click.Option(["--stage", "-s"]),
        click.Option(["--iterations", "-n"], type=int),
        click.Option(["--sighup-effect"]),
        click.Option(["--shuffle"], is_flag=True),
        click.Option(["--shapes/--no-shapes"]),
        click.Option(["--quiet", "-q"], is_flag=True),
        click.Option(["--json", "-j"], is_flag=True),
        click.Option(["--set"], multiple=True),
    ],
)


def read(*words: str) -> list[str]:
    return respelled(COMMAND, words, click.Context(COMMAND, help_option_names=["-h", "--help"]))


@pytest.mark.parametrize(
    ("written", "read_as"),
    [
        ("-snapshot=a=b", "--snapshot a=b"),
        ("-snapshot f", "--snapshot f"),
        ("--snapshot -f", "--snapshot -f"),
        ("-sighup_effect=stop", "--sighup-effect stop"),
        ("--sighup_effect stop", "--sighup-effect stop"),
        ("-weights=a -weights b -w c -w=d -w./e", "--weights a --weights b -w c -w d -w ./e"),
        ("-n5 -s deploy", "-n 5 -s deploy"),
        ("--shuffle=true", "--shuffle"),
        ("-shuffle=1 -quiet=T", "--shuffle --quiet"),
        ("--shuffle --noshuffle", ""),
        ("--noshuffle -shuffle", "--shuffle"),
        ("-shuffle=false --no-quiet", ""),
        ("--shapes=false", "--no-shapes"),
        ("--noshapes", "--no-shapes"),
        ("--no-shapes=false", "--shapes"),
        ("-qj net.prototxt", "-qj net.prototxt"),
        ("-help", "--help"),
        ("a -1 - -- -snapshot=x", "a -1 - -- -snapshot=x"),
    ],
)
def test_spelling(written: str, read_as: str) -> None:
    assert read(*written.split()) == read_as.split()


@pytest.mark.parametrize(
    ("written", "hint"),
    [
        ("-stagex=y", "Did you mean --stage?"),
        ("-nfive", "-n five"),
        ("-qx", "No such option: -qx."),
        ("--shuffle=2", "--shuffle is a switch"),
        ("--model=x", "without an option: 'train MODEL'"),
        ("-pretrained_model=x", "it is --weights"),
        ("--base_lr=1", "--set base_lr=VALUE"),
        ("-lr 1", "--set base_lr=VALUE"),
    ],
)
def test_nothing_is_misread(written: str, hint: str) -> None:
    with pytest.raises(click.UsageError) as error:
        read(*written.split())
    assert hint in error.value.message


def test_an_option_that_the_command_lacks_is_not_recommended() -> None:
    assert meaning(click.Command("bare"), "--pretrained") == ""


def test_unfinished_words_are_completed_rather_than_refused() -> None:
    assert respelled(COMMAND, ["--wei"], click.Context(COMMAND, resilient_parsing=True)) == ["--wei"]


@pytest.mark.parametrize("name", ["spelling", "meanings"])
def test_examples_run(name: str) -> None:
    results = doctest.testmod(importlib.import_module(f"cafx.cli.{name}"))
    assert (results.failed, results.attempted > 0) == (0, True)


@pytest.mark.slow
@pytest.mark.parametrize(
    "snapshot", [("-snapshot=tiny_iter_40.solverstate",), ("-snapshot", "tiny_iter_40.solverstate")]
)
def test_training_resumes_with_one_dash(cafx: Run, folder: Path, snapshot: tuple[str, ...]) -> None:
    cafx("train", "--solver=solver.prototxt", "-q")
    before = hashlib.md5((folder / "tiny_iter_40.caffemodel").read_bytes()).digest()
    done = cafx("train", "-solver", "solver.prototxt", *snapshot, "--set", "max_iter=50")
    assert "Trained from iteration 40 to 50" in done.stdout
    assert hashlib.md5((folder / "tiny_iter_40.caffemodel").read_bytes()).digest() == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "hint"),
    [
        ("convert_imageset --resize_height=12 img/ list.txt db", "--resize HxW"),
        ("convert-imageset --gray=maybe img/ list.txt db", "--gray is a switch"),
        ("test --model=net.prototxt", "'test MODEL'"),
        ("test net.prototxt -snapshot=x", "--weights"),
        ("plugins list -jason", "--json"),
    ],
)
def test_unknown_options_name_the_right_one(cafx: Run, command: str, hint: str) -> None:
    assert hint in cafx(*command.split(), code=USAGE).stderr


@pytest.mark.slow
def test_the_names_of_caffe_s_tools_are_commands(cafx: Run) -> None:
    assert cafx("upgrade_net_proto_text", "net.prototxt", "new.prototxt").returncode == 0
    assert cafx("extract_features", "-help").stdout.startswith("Usage: cafx extract")
