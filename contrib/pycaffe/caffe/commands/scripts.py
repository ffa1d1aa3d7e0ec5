"""``draw_net.py``, ``classify.py`` and ``detect.py``: Caffe's Python scripts."""

from __future__ import annotations

import csv
import warnings
from collections.abc import Callable
from io import StringIO
from pathlib import Path
from typing import Any

import click
import numpy as np

from caffe import io
from caffe.classifier import Classifier
from caffe.commands.program import engine_arguments, program
from caffe.detector import Detector
from caffe.modes import set_device, set_mode_gpu
from cafx.kernel import CafxError
from cafx.kernel.files import atomic_write, read_file

MODEL = "models/bvlc_reference_caffenet/"
COORDINATES = ("ymin", "xmin", "ymax", "xmax")
FILE = click.Path(dir_okay=False)
Command = Callable[..., Any]


@program
@click.argument("net", metavar="INPUT_NET_PROTO_FILE", type=FILE)
@click.argument("out", metavar="OUTPUT_IMAGE_FILE", type=FILE)
@click.option("--rankdir", default="LR", show_default=True, type=click.Choice(["TB", "LR", "BT", "RL"]))
@click.option("--phase", default="ALL", show_default=True, type=click.Choice(["TRAIN", "TEST", "ALL"]))
@click.option("--display_lrm", is_flag=True, help="Accepted for compatibility, ignored.")
def draw_net(net: str, out: str, rankdir: str, phase: str, display_lrm: bool) -> None:
    """Draw a net as a graph."""
    from caffe import TEST, TRAIN, caffe_pb2
    from caffe.draw import draw_net_to_file
    from cafx.kernel import schema

    phases = {"TRAIN": TRAIN, "TEST": TEST, "ALL": None}
    definition = caffe_pb2.NetParameter.FromString(schema().read_text(net, "NetParameter").SerializeToString())
    click.echo(f"Drawing net to {out}")
    draw_net_to_file(definition, out, rankdir, phases[phase])


def _model_options(command: Command) -> Command:
    """The options of ``classify.py`` and ``detect.py``."""
    for option in (
        click.option("--model_def", default=f"{MODEL}deploy.prototxt", show_default=True, type=FILE),
        click.option(
            "--pretrained_model", default=f"{MODEL}bvlc_reference_caffenet.caffemodel", show_default=True, type=FILE
        ),
        click.option("--gpu", is_flag=True, help="Use the GPU."),
        click.option("--mean_file", default="", type=FILE, help="Mean as .npy or .binaryproto."),
        click.option("--input_scale", type=float, help="Multiply inputs by this after subtracting the mean."),
        click.option("--raw_scale", type=float, default=255.0, show_default=True, help="Multiply inputs before that."),
        click.option("--channel_swap", default="2,1,0", show_default=True, help="Order of channels."),
    ):
        command = option(command)
    return command


def _keywords(gpu: bool, mean_file: str, channel_swap: str, **scales: Any) -> dict[str, Any]:
    """Keywords of Classifier and Detector."""
    if gpu and engine_arguments("0")[:1] == ["--gpu"]:
        set_mode_gpu()
        set_device(0)
    swap = [int(number) for number in channel_swap.split(",")] if channel_swap else None
    return {"mean": _mean(mean_file) if mean_file else None, "channel_swap": swap, **scales}


def _mean(path: str) -> Any:
    """The mean of each channel."""
    from caffe import caffe_pb2

    try:
        if path.endswith(".npy"):
            mean = np.load(path, allow_pickle=False)
        else:
            blob = caffe_pb2.BlobProto.FromString(Path(path).read_bytes())
            mean = io.blobproto_to_array(blob)
    except (OSError, ValueError) as error:
        raise CafxError(f"cannot be read: {error}", where=path, expected="a .npy or .binaryproto file") from None
    mean = np.asarray(mean)
    return mean.reshape(mean.shape[-3:]).mean((1, 2)) if mean.ndim > 2 else mean


@program
@click.argument("source", metavar="INPUT_FILE", type=click.Path())
@click.argument("out", metavar="OUTPUT_FILE", type=FILE)
@_model_options
@click.option("--center_only", is_flag=True, help="Score the central crop only, not ten crops.")
@click.option("--images_dim", default="256,256", show_default=True, help="Height and width to resize images to.")
@click.option("--ext", default="jpg", show_default=True, help="Ending of image files in a folder.")
def classify(
    source: str,
    out: str,
    model_def: str,
    pretrained_model: str,
    center_only: bool,
    images_dim: str,
    ext: str,
    **options: Any,
) -> None:
    """Write the scores of an image, a .npy file of images or a folder of images to a .npy file."""
    size = [int(number) for number in images_dim.split(",")]
    net = Classifier(model_def, pretrained_model, image_dims=size, **_keywords(**options))
    path = Path(source).expanduser()
    if path.suffix == ".npy":
        images = list(np.load(path, allow_pickle=False))
    else:
        files = sorted(path.glob(f"*.{ext}")) if path.is_dir() else [path]
        images = [io.load_image(str(each)) for each in files]
    if not images:
        raise CafxError(
            "has no images", where=source, expected=f"files ending in .{ext}", remedy="--ext names another ending"
        )
    click.echo(f"Classifying {len(images)} inputs.")
    scores = net.predict(images, not center_only)
    click.echo(f"Saving results into {out}")
    with Path(out).open("wb") as file:
        np.save(file, scores)


@program
@click.argument("source", metavar="INPUT_FILE", type=FILE)
@click.argument("out", metavar="OUTPUT_FILE", type=FILE)
@_model_options
@click.option(
    "--crop_mode", default="selective_search", show_default=True, type=click.Choice(["list", "selective_search"])
)
@click.option(
    "--context_pad",
    type=int,
    default=16,
    show_default=True,
    help="Context around windows, in pixels of the net's input.",
)
def detect(
    source: str, out: str, model_def: str, pretrained_model: str, crop_mode: str, context_pad: int, **options: Any
) -> None:
    """Score windows of images.

    INPUT_FILE is a .txt list of images or a .csv with a column filename, for --crop_mode list with the columns
    filename, ymin, xmin, ymax, xmax.
    OUTPUT_FILE is a .csv file, or a .h5 file, which needs pandas.
    """
    net: Any = Detector(model_def, pretrained_model, context_pad=context_pad, **_keywords(**options))
    if crop_mode == "list":
        detections = net.detect_windows(_windows(source))
    else:
        detections = net.detect_selective_search(_names(source))
    click.echo(f"Processed {len(detections)} windows.")
    _save(detections, out)
    click.echo(f"Saved to {out}")


def _names(source: str) -> list[str]:
    """Images: the lines of a .txt file, or the column filename of a .csv file, each once; else the file itself."""
    suffix = Path(source).suffix.lower()
    if suffix == ".csv":
        return list(dict.fromkeys(row["filename"] for row in _rows(source, ("filename",))))
    names = read_file(source).decode("utf-8", "replace").splitlines() if suffix == ".txt" else [source]
    return [name.strip() for name in names if name.strip()]


def _windows(source: str) -> list[tuple[str, list[list[int]]]]:
    """Images and their windows, from a table."""
    images: dict[str, list[list[int]]] = {}
    for row in _rows(source, ("filename", *COORDINATES)):
        try:
            window = [int(float(row[name])) for name in COORDINATES]
        except (ValueError, OverflowError):
            raise CafxError(
                "has a window that is not four numbers", where=source, found=", ".join(row.values())
            ) from None
        images.setdefault(row["filename"], []).append(window)
    return list(images.items())


def _rows(source: str, columns: tuple[str, ...]) -> list[dict[str, str]]:
    """The rows of a table, with these columns only.

    Raises:
        CafxError: the file cannot be read, or lacks a column, or a row lacks a value.
    """
    rows = csv.DictReader(read_file(source).decode("utf-8-sig", "replace").splitlines())
    try:
        found = [{name: row[name] for name in columns} for row in rows]
    except (KeyError, csv.Error):
        found = [{}]
    if not found or not all(all(row.values()) and row for row in found):
        raise CafxError("is not a table of windows", where=source, expected=f"columns {', '.join(columns)}")
    return found


def _save(detections: list[dict[str, Any]], out: str) -> None:
    """Write windows and scores as .csv, or as a pandas table in .h5, with the columns of Caffe's detect.py."""
    with atomic_write(Path(out)) as file:
        if out.lower().endswith("csv"):
            file.write(_as_csv(detections).encode())
        else:
            _write_hdf(detections, file.name, out)


def _as_csv(detections: list[dict[str, Any]]) -> str:
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    count = len(detections[0]["prediction"]) if detections else 0
    writer.writerow(["filename", *COORDINATES, *(f"class{number}" for number in range(count))])
    for each in detections:
        writer.writerow([each["filename"], *map(int, each["window"]), *map(float, each["prediction"])])
    return text.getvalue()


def _write_hdf(detections: list[dict[str, Any]], path: str, out: str) -> None:
    """Write the table ``df``: the scores in ``prediction``, a column per side of the window; the index is the file."""
    try:
        import pandas as pd
        import tables
    except ImportError:
        raise CafxError(
            "needs pandas and tables", where=out, remedy="pip install pandas tables, or name a .csv file"
        ) from None
    table = pd.DataFrame({"prediction": [each["prediction"] for each in detections]})
    table.index = pd.Index([each["filename"] for each in detections], name="filename")
    for number, name in enumerate(COORDINATES):
        table[name] = [int(each["window"][number]) for each in detections]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", tables.PerformanceWarning)
        warnings.simplefilter("ignore", pd.errors.PerformanceWarning)
        table.to_hdf(path, key="df", mode="w")
