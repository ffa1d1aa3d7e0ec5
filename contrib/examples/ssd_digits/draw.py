"""Draws what a trained detector finds in the test pictures: ``python draw.py NET.py WEIGHTS OUT.png``."""

import argparse
import sys
from pathlib import Path

import data
import numpy as np

from cafx.dsl.netfile import load_python
from cafx.kernel import CafxError, Net, Phase
from cafx.kernel.files import atomic_write
from cafx_lib_feed.images import cv2, encode
from cafx_lib_pictures import image_grid

ZOOM, COLUMNS, GAP = 3, 4, 6
COLOURS = [(0, 0, 255), (0, 255, 0)]  # blue, green and red of detections and of the truth
FONT_SIZE = 0.7


def pictures(net):
    """Yield the test pictures with what the net finds and the true boxes, both in fractions of a picture.

    Args:
        net: a net with the blobs data, label and detections.

    Yields:
        H×W×3, rows (class, score, xmin, ymin, xmax, ymax) and rows (class, xmin, ymin, xmax, ymax).
    """
    mean, scale = pixels_of(net)
    while True:
        net.forward()
        found, truth = (net.blobs[name].host()[0, 0] for name in ("detections", "label"))
        for index, image in enumerate(net.blobs["data"].host()):
            picture = np.clip(np.rint(image.transpose(1, 2, 0) / scale + mean), 0, 255).astype(np.uint8)
            yield picture, found[found[:, 0] == index, 1:], truth[truth[:, 0] == index][:, [1, 3, 4, 5, 6]]


def pixels_of(net):
    """The mean and the scale of the net's pictures."""
    options = net.layers[0].spec.transform_param
    return np.array(options.mean_value), options.scale


def drawn(picture, found, truth, threshold):
    """The picture enlarged, with true boxes in green and detections in red, named by digit and score."""
    shown = cv2().resize(picture, None, fx=ZOOM, fy=ZOOM, interpolation=cv2().INTER_NEAREST)
    extent = ZOOM * data.SIDE
    for _, *box in truth.tolist():
        rectangle(shown, np.array(box) * extent, COLOURS[1], 1)
    for label, score, *box in found[found[:, 1] >= threshold].tolist():
        left, top = rectangle(shown, np.array(box) * extent, COLOURS[0], 2)
        place = left + 2, max(16, top - 5)
        text = f"{int(label) - 1} {score:.2f}"
        cv2().putText(shown, text, place, cv2().FONT_HERSHEY_SIMPLEX, FONT_SIZE, COLOURS[0], 2)
    return shown


def rectangle(picture, box, colour, width):
    """Draw a box and return its upper left corner."""
    left, top, right, bottom = np.rint(box).astype(int).tolist()
    cv2().rectangle(picture, (left, top), (right, bottom), colour, width)
    return left, top


def main():
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("net", type=Path, help="a net.py")
    parser.add_argument("weights", type=Path, help="its trained weights")
    parser.add_argument("out", type=Path, help="picture to write")
    parser.add_argument("--count", type=int, default=12, help="number of test pictures (default: 12)")
    parser.add_argument("--threshold", type=float, default=0.5, help="least score of a box (default: 0.5)")
    options = parser.parse_args()
    try:
        net = Net(load_python(options.net).to_proto().net_param, Phase.TEST, weights=options.weights, keep="all")
        shown = [drawn(*each, options.threshold) for _, each in zip(range(options.count), pictures(net), strict=False)]
        with atomic_write(options.out) as file:
            file.write(encode(image_grid(shown, COLUMNS, GAP), options.out.suffix, str(options.out)))
    except CafxError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
