"""Detection nets: boxes from a small SSD, in pixels of the image, through batches and crops."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from cafx_command_serve.model import Model
from cafx_lib_feed.images import encode
from cafx_lib_preprocessing import Preprocessing

Detector = Callable[[Preprocessing], Model]
LABELS = ("background", "red <i>square</i>")


def quarters(*red: tuple[int, int], height: int = 40, width: int = 60) -> bytes:
    """An image whose named quarters (row, column) are red."""
    image = np.zeros((height, width, 3), np.uint8)
    for row, column in red:
        image[row * height // 2 :, column * width // 2 :][: height // 2, : width // 2] = (0, 0, 255)
    return encode(image, ".png", "x")


def corners(box: dict[str, Any]) -> list[int]:
    return [round(box[name]) for name in ("xmin", "ymin", "xmax", "ymax")]


def test_boxes_are_in_pixels_of_the_image(detector: Detector, serve: Callable[..., Any]) -> None:
    client = serve(model=detector(Preprocessing(labels=LABELS)), tree=None)
    answer = client.ask("/detect", quarters((0, 1), (1, 0))).json
    assert sorted(map(corners, answer["boxes"])) == [[0, 20, 30, 40], [30, 0, 60, 20]]
    assert {(each["class"], each["label"]) for each in answer["boxes"]} == {(1, LABELS[1])}
    assert client.ask("/detect", quarters()).json["boxes"] == []
    assert client.ask("/detect?threshold=1", quarters((0, 0))).json["boxes"] == []
    assert client.ask("/detect?threshold=nan", quarters((0, 0))).status == 400
    assert client.ask("/classify", quarters()).status == 404
    assert client.ask("/model").json["detects"] is True
    described = client.ask("/openapi.json").json["paths"]["/detect"]["post"]["responses"]["200"]
    boxes = described["content"]["application/json"]["schema"]["properties"]["boxes"]
    assert set(boxes["items"]["required"]) == set(answer["boxes"][0])


def test_each_image_of_a_batch_has_its_own_boxes(detector: Detector) -> None:
    from cafx_command_serve.limits import Limits, read_pixels

    model = detector(Preprocessing())
    images = [quarters((0, 0)), quarters(), quarters((1, 1), (1, 0)), quarters((0, 1)), quarters((1, 1))]
    inputs = np.concatenate([model.converter.apply(read_pixels(each, 3, Limits())) for each in images])
    assert [len(rows) for rows in model.run(inputs)] == [1, 0, 2, 1, 1]


def test_boxes_of_a_cropped_image_are_where_the_crop_was(detector: Detector) -> None:
    model = detector(Preprocessing(size=(32, 64), labels=LABELS))
    (box,) = model.boxes(np.array([[1, 0.9, 0.0, 0.0, 0.5, 1.0], [1, 0.1, 0, 0, 1, 1]]), (320, 640), 0.5)
    assert box.corners == (240, 80, 320, 240)
