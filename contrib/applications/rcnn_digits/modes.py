"""Scores the same digit in every way that Caffe's Detector and ``cafx detect`` know: ``python modes.py``, after run.py.

Windows may be listed or searched, with context around them or without, and warped as they are or as squares.
"""

import argparse
import sys
from pathlib import Path

import caffe
import numpy as np
from data import HERE, MEAN, PAD, SCALE, SEARCH_WIDTH, pictures

from cafx.kernel import TEST, CafxError, Net
from cafx_applications.scenes import overlap
from cafx_command_detect.geometry import warped
from cafx_lib_feed.images import read_image
from cafx_lib_inputs import Scorer, selective_search
from cafx_lib_preprocessing import Preprocessing


def by_command(model, weights, image, windows):
    """Scores of windows by the parts of ``cafx detect``, for each way to crop."""
    with Net(model, TEST, weights=weights) as net:
        scorer = Scorer(net, Preprocessing(mean=(MEAN,) * 3, scale=SCALE, resize="bilinear"), "fc_rcnn")
        for mode in ("warp", "square"):
            for pad in (0, PAD):
                crops = (warped(image, window, scorer, pad, mode == "square") for window in windows)
                yield f"cafx detect --crop-mode {mode} --pad {pad}", np.stack(list(scorer.scores(crops)))


def by_detector(model, weights, path, windows):
    """Scores of windows by pycaffe's Detector, in both of its modes."""
    options = {"mean": np.full(3, MEAN, np.float32), "raw_scale": 255, "input_scale": SCALE, "channel_swap": (2, 1, 0)}
    for pad in (None, PAD):
        detector = caffe.Detector(str(model), str(weights), context_pad=pad, **options)
        found = detector.detect_windows([(path, windows)])
        yield f"Detector.detect_windows, context_pad={pad}", np.stack([each["prediction"] for each in found])
    found = detector.detect_selective_search([path])
    best = max(found, key=lambda each: overlap(tuple(each["window"]), tuple(windows[0])))
    yield f"Detector.detect_selective_search, best of {len(found)}", best["prediction"][None]


def main(results):
    """Print the scores of the window that overlaps the first test picture's first digit most."""
    model, weights = results / "rcnn.prototxt", results / "rcnn.caffemodel"
    if not weights.is_file():
        raise CafxError("there is no such file", where=str(weights), remedy="python run.py makes it")
    picture = pictures("test")[0]
    label, (x0, y0, x1, y1) = int(picture.labels[0]), picture.boxes[0].tolist()
    image = read_image(picture.path)
    searched = selective_search(image, SEARCH_WIDTH)
    best = max(searched.tolist(), key=lambda window: overlap(tuple(window), (y0, x0, y1, x1)))
    print(f"{picture.path}: a {label} in ({x0}, {y0}) to ({x1}, {y1})")
    for way in (by_command(model, weights, image, [best]), by_detector(model, weights, picture.path, [best])):
        for name, scores in way:
            print(f"  {name:55}  score {scores[0, label]:5.2f}, answer {scores[0].argmax()}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--results", type=Path, default=HERE / "results", help="folder of run.py's results")
    parser.add_argument("--small", action="store_true", help="use the miniature's pictures")
    try:
        main(parser.parse_args().results)
    except CafxError as error:
        sys.exit(f"error: {error}")
