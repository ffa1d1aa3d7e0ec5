"""Nets of forks where only cafx is installed: what is missing is listed, and the line that is told installs it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

pytestmark = [pytest.mark.slow, pytest.mark.xdist_group("installed")]
INPUT = 'layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 1 dim: 3 dim: 32 dim: 32 } } }\n'
CONVOLUTION = 'layer {{ name: "{0}" type: "Convolution" bottom: "{1}" top: "{0}" convolution_param {{ {2} }} }}\n'


@attrs.frozen
class Fork:
    """A net, what it needs, and what that is installed by.

    Attributes:
        net: the layers after the input.
        needs: line of the net, thing that is missing, and fork.
        installs: the distribution in the line that is told.
    """

    net: str
    needs: tuple[tuple[int, str, str], ...]
    installs: str


def convolution(name: str, bottom: str, outputs: int) -> str:
    """A convolution of 1 × 1."""
    return CONVOLUTION.format(name, bottom, f"num_output: {outputs} kernel_size: 1")


SSD = (
    convolution("loc", "data", 4)
    + convolution("conf", "data", 2)
    + """layer { name: "l" type: "Permute" bottom: "loc" top: "l" permute_param { order: [0, 2, 3, 1] } }
layer { name: "lf" type: "Flatten" bottom: "l" top: "lf" }
layer { name: "c" type: "Permute" bottom: "conf" top: "c" permute_param { order: [0, 2, 3, 1] } }
layer { name: "cf" type: "Flatten" bottom: "c" top: "cf" }
layer { name: "p" type: "PriorBox" bottom: "loc" bottom: "data" top: "p" prior_box_param { min_size: 8 flip: false } }
layer { name: "d" type: "DetectionOutput" bottom: "lf" bottom: "cf" bottom: "p" top: "d"
  detection_output_param { num_classes: 2 confidence_threshold: 0.4 nms_param { nms_threshold: 0.45 } } }
"""
)
FASTER_RCNN = (
    convolution("scores", "data", 18)
    + convolution("boxes", "data", 36)
    + """layer { name: "info" type: "Input" top: "info" input_param { shape { dim: 1 dim: 3 } } }
layer { name: "rois" type: "Python" bottom: "scores" bottom: "boxes" bottom: "info" top: "rois"
  python_param { module: "rpn.proposal_layer" layer: "ProposalLayer" param_str: "'feat_stride': 1" } }
layer { name: "pool" type: "ROIPooling" bottom: "data" bottom: "rois" top: "pool"
  roi_pooling_param { pooled_w: 2 pooled_h: 2 } }
"""
)
PSPNET = """layer { name: "bn" type: "BN" bottom: "data" top: "bn" bn_param { momentum: 0.95 } }
layer { name: "up" type: "Interp" bottom: "bn" top: "up" interp_param { zoom_factor: 2 } }
"""
SEGNET = """layer { name: "bn" type: "BN" bottom: "data" top: "bn" }
layer { name: "p" type: "Pooling" bottom: "bn" top: "p" top: "mask" pooling_param { kernel_size: 2 stride: 2 } }
layer { name: "up" type: "Upsample" bottom: "p" bottom: "mask" top: "up" upsample_param { scale: 2 } }
"""
SHUFFLENET = (
    'layer { name: "d" type: "ConvolutionDepthwise" bottom: "data" top: "d" convolution_param { kernel_size: 3 } }\n'
    'layer { name: "s" type: "ShuffleChannel" bottom: "d" top: "s" shuffle_channel_param { group: 3 } }\n'
)
FORKS = {
    "ssd": Fork(
        SSD,
        (
            (4, "unknown layer type 'Permute', 2 times", "SSD"),
            (4, "LayerParameter has no field 'permute_param', 2 times", "SSD"),
            (8, "unknown layer type 'PriorBox'", "SSD"),
            (8, "LayerParameter has no field 'prior_box_param'", "SSD"),
            (9, "unknown layer type 'DetectionOutput'", "SSD"),
            (10, "LayerParameter has no field 'detection_output_param'", "SSD"),
        ),
        "cafx-ssd",
    ),
    "faster_rcnn": Fork(
        FASTER_RCNN,
        (
            (6, "no Python module 'rpn.proposal_layer'", "Faster R-CNN"),
            (7, "unknown layer type 'ROIPooling'", "Faster R-CNN"),
            (8, "LayerParameter has no field 'roi_pooling_param'", "Faster R-CNN"),
        ),
        "cafx-faster-rcnn",
    ),
    "pspnet": Fork(
        PSPNET,
        (
            (2, "unknown layer type 'BN'", "PSPNet, SegNet"),
            (2, "LayerParameter has no field 'bn_param'", "PSPNet, SegNet"),
            (3, "unknown layer type 'Interp'", "PSPNet, DeepLab"),
            (3, "LayerParameter has no field 'interp_param'", "PSPNet, DeepLab"),
        ),
        "cafx-pspnet",
    ),
    "segnet": Fork(
        SEGNET,
        (
            (2, "unknown layer type 'BN'", "PSPNet, SegNet"),
            (4, "unknown layer type 'Upsample'", "SegNet, MobileNet-YOLO"),
            (4, "LayerParameter has no field 'upsample_param'", "SegNet, MobileNet-YOLO"),
        ),
        "cafx-segnet",
    ),
    "shufflenet": Fork(
        SHUFFLENET,
        (
            (2, "unknown layer type 'ConvolutionDepthwise'", "jolibrain"),
            (3, "unknown layer type 'ShuffleChannel'", "ShuffleNet"),
            (3, "LayerParameter has no field 'shuffle_channel_param'", "ShuffleNet"),
        ),
        "cafx-mobilenet",
    ),
}
NET = """
from cafx.dsl import NetSpec, layers as L

n = NetSpec("heads")
n.data = L.Input(shape=dict(dim=[1, 3, 32, 32]))
n.conv = L.Convolution(n.data, num_output=4, kernel_size=1)
n.loc = L.Permute(n.conv, order=[0, 2, 3, 1])
n.priors = L.PriorBox(n.conv, n.data, min_size=[8], aspect_ratio=[2])
"""


@pytest.fixture(scope="module")
def bare(make_site: Callable[..., Any]) -> Any:
    """An environment with cafx alone."""
    return make_site("cafx-lib-feed[images]")


@pytest.fixture
def site(bare: Any) -> Iterator[Any]:
    """That environment; what a test installs is removed after it."""
    before = installed(bare)
    yield bare
    added = sorted(installed(bare) - before)
    if added:
        bare.pip("uninstall", "--yes", *added)


def installed(site: Any) -> set[str]:
    """The names of the distributions in an environment."""
    code = "from importlib import metadata; print(*(each.name for each in metadata.distributions()))"
    return set(site.run(shlex.join([str(site.python), "-c", code])).stdout.split())


def wheel_of(name: str) -> str:
    """How the wheel of a distribution is named in a line."""
    return f"{name.replace('-', '_')}-0.1.0-py3-none-any.whl"


def install_as_told(site: Any, message: str) -> str:
    """Run the line that a message ends with, without a network; returns it."""
    line = re.search(r"install (?:it|them) with: (.+?)(?: \[E-[\w-]+\])?\n?\Z", message)
    assert line, message
    run = site.run(shlex.join(["sh", "-c", line[1]]), PIP_NO_INDEX="1")
    assert run.returncode == 0, f"{line[1]}\n{run.stderr}"
    return line[1]


@pytest.mark.parametrize("name", FORKS)
def test_what_is_missing_is_listed_and_installed_by_the_line_that_is_told(site: Any, tmp_path: Path, name: str) -> None:
    fork, file = FORKS[name], f"{name}.prototxt"
    (tmp_path / file).write_text(INPUT + fork.net)
    refused = site.cafx("net", file, cwd=tmp_path)
    assert refused.returncode == 1
    first, *listed, last = refused.stderr.splitlines()
    assert first == f"error: {file}: needs {len(fork.needs)} things that are not installed:"
    assert listed == [f"  {file}:{line}: {what} ({of})" for line, what, of in fork.needs]
    assert wheel_of(fork.installs) in install_as_told(site, refused.stderr), last
    for command in (("net", file), ("time", "-n", "1", "--warmup", "0", file)):
        run = site.cafx(*command, cwd=tmp_path)
        assert run.returncode == 0, run.stderr


def test_a_single_missing_layer_is_told_in_one_line(site: Any, tmp_path: Path) -> None:
    (tmp_path / "net.prototxt").write_text(
        INPUT + 'layer { name: "s" type: "Axpy" bottom: "data" bottom: "data" bottom: "data" top: "s" }'
    )
    refused = site.cafx("net", "net.prototxt", cwd=tmp_path)
    assert len(refused.stderr.splitlines()) == 1
    assert "net.prototxt:2: layer 's' (Axpy): unknown layer type 'Axpy'; part of SENet" in refused.stderr
    assert wheel_of("cafx-layer-axpy") in install_as_told(site, refused.stderr)


def test_the_dsl_has_the_layers_of_a_fork_once_they_are_installed(site: Any, tmp_path: Path) -> None:
    (tmp_path / "net.py").write_text(NET)
    refused = site.cafx("emit", "net.py", cwd=tmp_path)
    assert refused.returncode == 1
    assert "'Permute'" in refused.stderr
    assert "Traceback" not in refused.stderr
    site.pip("install", "--no-index", "--find-links", str(site.wheels), "cafx-ssd")
    emitted = site.cafx("emit", "net.py", cwd=tmp_path)
    assert emitted.returncode == 0, emitted.stderr
    assert "prior_box_param" in emitted.stdout
    assert re.search(r"aspect_ratio: 2(\.0)?\b", emitted.stdout)


@pytest.mark.parametrize("name", ["deploy", "train"])
def test_the_published_mobilenet_ssd_is_read_after_the_line_that_is_told(site: Any, shared: Path, name: str) -> None:
    file = shared / f"prototxt/chuanqi305/MobileNet-SSD/{name}.prototxt"
    assert file.is_file()
    refused = site.cafx("net", str(file))
    assert refused.returncode == 1
    assert wheel_of("cafx-ssd") in install_as_told(site, refused.stderr)
    run = site.cafx("upgrade", str(file))
    assert run.returncode == 0, run.stderr
    if name == "deploy":
        built = site.cafx("net", str(file))
        assert built.returncode == 0, built.stderr
