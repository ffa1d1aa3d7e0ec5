"""Caffe's tools for data, features and old files, under their names and with their arguments."""

from __future__ import annotations

from typing import Any

import click

from caffe.commands.program import call, engine_arguments, given, program, words

FILE = click.Path()
backend_option = click.option("--backend", default="lmdb", show_default=True, help="lmdb or leveldb.")


@program
@click.argument("root", metavar="ROOTFOLDER/")
@click.argument("listed", metavar="LISTFILE", type=FILE)
@click.argument("out", metavar="DB_NAME", type=FILE)
@click.option("--gray", is_flag=True, help="Treat images as grayscale.")
@click.option("--shuffle", is_flag=True, help="Shuffle the list.")
@backend_option
@click.option("--resize_width", type=click.IntRange(0), default=0, help="Width to resize to; 0 for none.")
@click.option("--resize_height", type=click.IntRange(0), default=0, help="Height to resize to; 0 for none.")
@click.option("--check_size", is_flag=True, help="Fail if image sizes differ.")
@click.option("--encoded", is_flag=True, help="Store encoded images.")
@click.option("--encode_type", default="", help="Format to encode to: png, jpg, …")
def convert_imageset(root: str, listed: str, out: str, resize_width: int, resize_height: int, **options: Any) -> None:
    """Write a list of images with labels to a database."""
    if resize_width and resize_height:
        options["resize"] = f"{resize_height}x{resize_width}"
    call("convert-imageset", *given(**options), "--", root, listed, out)


@program
@click.argument("database", metavar="INPUT_DB", type=FILE)
@click.argument("out", metavar="[OUTPUT_FILE]", type=FILE, required=False)
@click.option("--backend", default="", help="lmdb or leveldb (default: detected).")
def compute_image_mean(database: str, out: str | None, backend: str) -> None:
    """Compute the mean image of a database."""
    call("compute-image-mean", *given(backend=backend), "--", database, *words([out]))


@program
@click.argument("weights", metavar="PRETRAINED_NET_PARAM", type=FILE)
@click.argument("net", metavar="FEATURE_EXTRACTION_PROTO_FILE", type=FILE)
@click.argument("blobs", metavar="BLOB[,BLOB2,...]")
@click.argument("outs", metavar="DATASET[,DATASET2,...]")
@click.argument("batches", metavar="NUM_MINI_BATCHES")
@click.argument("kind", metavar="DB_TYPE")
@click.argument("mode", metavar="[CPU|GPU]", required=False, type=click.Choice(["CPU", "GPU"], case_sensitive=False))
@click.argument("device", metavar="[DEVICE_ID=0]", default="0")
def extract_features(
    weights: str, net: str, blobs: str, outs: str, batches: str, kind: str, mode: str | None, device: str
) -> None:
    """Store blobs of a net, computed for some batches, in databases."""
    number = device.upper().removeprefix("DEVICE_ID=")
    engine = engine_arguments(number if mode and mode.upper() == "GPU" else None)
    call("extract-features", *engine, "--", weights, net, blobs, outs, batches, kind)


def _upgrader(name: str, help_text: str) -> click.Command:
    """A program that upgrades one file to another."""

    @click.argument("old", metavar="FILE_IN", type=FILE)
    @click.argument("new", metavar="FILE_OUT", type=FILE)
    def upgrade(old: str, new: str) -> None:
        call("upgrade", "--", old, new)

    upgrade.__name__, upgrade.__doc__ = name, help_text
    command: click.Command = program(upgrade)
    return command


upgrade_net_proto_text = _upgrader("upgrade_net_proto_text", "Upgrade the prototxt of a net.")
upgrade_net_proto_binary = _upgrader("upgrade_net_proto_binary", "Upgrade a binary net or weights file.")
upgrade_solver_proto_text = _upgrader("upgrade_solver_proto_text", "Upgrade the prototxt of a solver.")


@program
@click.argument("images", metavar="INPUT_IMAGE_FILE", type=FILE)
@click.argument("labels", metavar="INPUT_LABEL_FILE", type=FILE)
@click.argument("out", metavar="OUTPUT_DB_FILE", type=FILE)
@backend_option
def convert_mnist_data(images: str, labels: str, out: str, backend: str) -> None:
    """Write MNIST's files to a database."""
    call("convert-mnist", *given(backend=backend), "--", images, labels, out)


@program
@click.argument("images", metavar="INPUT_IMAGE_FILE", type=FILE)
@click.argument("labels", metavar="INPUT_LABEL_FILE", type=FILE)
@click.argument("out", metavar="OUTPUT_DB_FILE", type=FILE)
@click.option("--backend", default="leveldb", show_default=True, help="lmdb or leveldb.")
def convert_mnist_siamese_data(images: str, labels: str, out: str, backend: str) -> None:
    """Write random pairs of MNIST's images to a database."""
    call("convert-mnist", "--pairs", *given(backend=backend), "--", images, labels, out)


@program
@click.argument("folder", metavar="INPUT_FOLDER", type=FILE)
@click.argument("out", metavar="OUTPUT_FOLDER", type=FILE)
@click.argument("kind", metavar="DB_TYPE")
def convert_cifar_data(folder: str, out: str, kind: str) -> None:
    """Write CIFAR-10's binary files to databases."""
    call("convert-cifar10", *given(backend=kind), "--", folder, out)
