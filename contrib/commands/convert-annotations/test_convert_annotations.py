"""convert-annotations: VOC and COCO become the same records, label maps are made or read, and bad input is named."""

from __future__ import annotations

import contextlib
import doctest
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner

import cafx_command_convert_annotations.slices
from cafx.conformance import plugin_suite
from cafx.kernel import TEST, CafxError, Net, schema
from cafx_command_convert_annotations import convert_annotations
from cafx_command_convert_annotations.convert import Conversion
from cafx_lib_annotated.records import CORNERS, Record, read_record
from cafx_lib_feed.database import open_database
from cafx_lib_feed.datum import DatumReader
from cafx_lib_feed.images import decode, encode
from cafx_lib_jobs.manifest import Manifest

TestConvertAnnotations = plugin_suite("command", "convert-annotations")

COUNT, HEIGHT, WIDTH = 12, 30, 40
NAMES = ("cat", "dog", "bird")
IDS = {"cat": 17, "dog": 18, "bird": 3}
Thing = tuple[str, tuple[float, ...], int]


def things(index: int) -> list[Thing]:
    rng = np.random.default_rng(index)
    found: list[Thing] = []
    for _ in range(index % 4):
        low = rng.integers(0, 20, 2)
        high = low + rng.integers(3, 10, 2)
        found.append((NAMES[rng.integers(3)], (*low.tolist(), *high.tolist()), int(rng.integers(2))))
    return found


def xml(index: int, objects: list[Thing], size: tuple[int, int] | None = (HEIGHT, WIDTH), **extra: str) -> str:
    parts = [f"<filename>{extra.get('filename', f'{index}.png')}</filename>"]
    if size:
        parts.append(f"<size><width>{size[1]}</width><height>{size[0]}</height><depth>3</depth></size>")
    for name, box, difficult in objects:
        corners = "".join(
            f"<{key}>{value}</{key}>" for key, value in zip(("xmin", "ymin", "xmax", "ymax"), box, strict=True)
        )
        part = "<part><name>head</name><bndbox><xmin>1</xmin></bndbox></part>"
        parts.append(
            f"<object><name>{name}</name><difficult>{difficult}</difficult><bndbox>{corners}</bndbox>{part}</object>"
        )
    return "<annotation>" + "".join(parts) + "</annotation>"


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Twelve images, their annotations as VOC's folder and list and as COCO's file."""
    (tmp_path / "images").mkdir()
    (tmp_path / "xml").mkdir()
    lines, images, annotations = [], [], []
    for index in range(COUNT):
        pixels = np.random.default_rng(index).integers(0, 256, (HEIGHT, WIDTH, 3), dtype=np.uint8)
        (tmp_path / f"images/{index}.png").write_bytes(encode(pixels, ".png", ""))
        (tmp_path / f"xml/{index:02d}.xml").write_text(xml(index, things(index)))
        lines.append(f"images/{index}.png xml/{index:02d}.xml")
        images.append({"id": 100 + index, "file_name": f"{index}.png", "height": HEIGHT, "width": WIDTH})
        for name, (x0, y0, x1, y1), difficult in things(index):
            item = {"image_id": 100 + index, "category_id": IDS[name], "bbox": [x0, y0, x1 - x0, y1 - y0]}
            annotations.append({**item, "iscrowd": difficult})
    (tmp_path / "list").write_text("\n".join(lines))
    categories = [{"id": number, "name": name} for name, number in IDS.items()]
    content = {"images": images, "annotations": annotations, "categories": categories}
    (tmp_path / "coco.json").write_text(json.dumps(content))
    return tmp_path


def run(*arguments: Any) -> str:
    result = CliRunner().invoke(convert_annotations, [str(each) for each in arguments], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    return result.output


def voc(data: Path, *options: Any, out: str = "db") -> str:
    return run(data, data / "list", data / out, "--labelmap-out", data / f"{out}.prototxt", *options)


def items(path: Path) -> list[tuple[bytes, bytes]]:
    with open_database(path) as reader:
        return [(key, bytes(value)) for key, value in reader.items()]


def records(path: Path) -> list[Record]:
    return [read_record(key, memoryview(value)) for key, value in items(path)]


def labels(path: Path) -> dict[str, int]:
    return {each.name: each.label for each in schema().read_text(path, "LabelMap").item}


def test_each_image_becomes_a_record_with_its_boxes(data: Path) -> None:
    assert "12 images written" in voc(data)
    numbers = labels(data / "db.prototxt")
    assert numbers == {"none_of_the_above": 0, "bird": 1, "cat": 2, "dog": 3}
    assert [key for key, _ in items(data / "db")] == [f"{i:08d}_images/{i}.png".encode() for i in range(COUNT)]
    for index, record in enumerate(records(data / "db")):
        example = DatumReader().read(b"", record.datum)
        pixels = decode((data / f"images/{index}.png").read_bytes(), 3, "")
        np.testing.assert_array_equal(example.pixels, pixels.transpose(2, 0, 1))
        assert example.label == -1
        found = [(row[0], *row[CORNERS], row[6]) for row in record.rows.astype(float)]
        sides = np.array([WIDTH, HEIGHT] * 2)
        expected = [(numbers[name], *(np.array(box) / sides), difficult) for name, box, difficult in things(index)]
        np.testing.assert_allclose(sorted(found), sorted(expected), rtol=1e-6)
        for label in {row[0] for row in record.rows.tolist()}:
            of_label = record.rows[record.rows[:, 0] == label]
            assert of_label[:, 1].tolist() == list(range(len(of_label)))


def test_a_folder_of_xml_files_and_a_list_give_the_same(data: Path) -> None:
    voc(data)
    run(data / "images", data / "xml", data / "folder", "--labelmap-out", data / "folder.prototxt")
    assert [value for _, value in items(data / "folder")] == [value for _, value in items(data / "db")]
    assert labels(data / "folder.prototxt") == labels(data / "db.prototxt")


def test_coco_s_categories_are_numbered_in_their_order_and_named_by_their_numbers(data: Path) -> None:
    run(data / "images", data / "coco.json", data / "coco", "--labelmap-out", data / "coco.prototxt")
    assert labels(data / "coco.prototxt") == {"none_of_the_above": 0, "3": 1, "17": 2, "18": 3}
    assert 'display_name: "bird"' in (data / "coco.prototxt").read_text()
    voc(data)  # its classes in the order of their names happen to have the same numbers
    assert [value for _, value in items(data / "coco")] == [value for _, value in items(data / "db")]
    run(data / "images", data / "coco.json", data / "named", "--labelmap", data / "db.prototxt")
    assert items(data / "named") == items(data / "coco")


def test_a_given_label_map_numbers_the_classes(data: Path) -> None:
    (data / "map").write_text('item { name: "dog" label: 7 } item { name: "cat" label: 5 }')
    output = run(data, data / "list", data / "db", "--labelmap", data / "map")
    expected = {5, 7} & {{"dog": 7, "cat": 5}.get(name, 0) for i in range(COUNT) for name, _, _ in things(i)}
    assert {int(row[0]) for record in records(data / "db") for row in record.rows} == expected
    assert "class 'bird' is not in the label map" in output
    with pytest.raises(CafxError, match=r"unknown class(.|\n)*bird"):
        run(data, data / "list", data / "strict", "--labelmap", data / "map", "--check-label")
    (data / "map").write_text('item { name: "dog" label: 7 } item { name: "cat" label: 7 }')
    with pytest.raises(CafxError, match="two items have the same label"):
        run(data, data / "list", data / "double", "--labelmap", data / "map")


def test_the_layer_reads_what_the_command_writes(data: Path) -> None:
    voc(data, "--encoded", "--resize", "20x24", "--shuffle")
    text = f"""layer {{ name: "d" type: "AnnotatedData" top: "data" top: "label"
      data_param {{ source: "{data}/db" backend: LMDB batch_size: {COUNT} }}
      annotated_data_param {{ label_map_file: "{data}/db.prototxt" }} }}"""
    with Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy") as net:
        net.run_forward()
        assert net.blobs["data"].shape == (COUNT, 3, 20, 24)
        assert net.blobs["label"].shape == (1, 1, sum(len(things(i)) for i in range(COUNT)), 8)


def test_encoded_images_keep_their_bytes_and_have_their_size(data: Path) -> None:
    voc(data, "--encoded")
    datum = schema()["Datum"].FromString(bytes(records(data / "db")[3].datum))
    assert datum.data == (data / "images/3.png").read_bytes()
    assert (datum.channels, datum.height, datum.width, datum.encoded) == (3, HEIGHT, WIDTH, True)
    voc(data, "--encode-type", "JPG", "--gray", out="jpeg")
    datum = schema()["Datum"].FromString(bytes(records(data / "jpeg")[3].datum))
    assert datum.data[:2] == b"\xff\xd8"
    assert decode(datum.data, None, "").shape == (HEIGHT, WIDTH, 1)
    refused = CliRunner().invoke(convert_annotations, [".", "a", "b", "--labelmap-out", "c", "--encode-type", "foo"])
    assert refused.exit_code != 0
    assert "foo" in refused.output


def test_names_and_sizes_are_written_for_the_evaluation(data: Path) -> None:
    (data / "xml/02.xml").write_text(xml(2, things(2), size=None))
    (data / "images/5.png").write_bytes(b"broken")
    voc(data, "--resize", "10x10", "--sizes-out", data / "sizes")
    lines = (data / "sizes").read_text().splitlines()
    assert lines == [f"{index} {HEIGHT} {WIDTH}" for index in range(COUNT) if index != 5]
    run(data / "images", data / "coco.json", data / "c", "--labelmap-out", data / "m", "--sizes-out", data / "sizes")
    assert (data / "sizes").read_text().startswith(f"100 {HEIGHT} {WIDTH}\n101 ")


BAD_XML = {
    "is not XML": "<annotation><object>",
    "is not an annotation": "<html/>",
    "has a document type": '<!DOCTYPE a [<!ENTITY x "y">]><annotation><filename>&x;</filename></annotation>',
    "xmax of bndbox is not a number": xml(3, [("cat", (1, 2, "x", 4), 0)]),  # type: ignore[list-item]
    "xmin of bndbox is not a number": xml(3, [("cat", ("nan", 2, 3, 4), 0)]),  # type: ignore[list-item]
    "without name or bndbox": "<annotation><object><name>cat</name></object></annotation>",
    "has another size than its annotation says": xml(3, [], size=(HEIGHT, WIDTH + 1)),
}


@pytest.mark.parametrize("message", BAD_XML)
def test_a_bad_annotation_is_skipped_or_stops_the_conversion(data: Path, message: str) -> None:
    (data / "xml/03.xml").write_text(BAD_XML[message])
    output = voc(data)
    assert "11 images written" in output
    assert "1 images or boxes skipped" in output
    assert message in output
    assert "3." in output
    with pytest.raises(CafxError, match=message):
        voc(data, "--on-bad", "stop", out="stopped")


@pytest.mark.parametrize("name", ["/etc/passwd", "../0.png", "a/../../b.png"])
def test_an_annotation_names_no_image_outside_the_root(data: Path, name: str) -> None:
    (data / "xml/03.xml").write_text(xml(3, [], filename=name))
    output = run(data / "images", data / "xml", data / "db", "--labelmap-out", data / "map")
    assert "names no image below ROOT" in output
    assert "11 images" in output


def test_entities_are_not_expanded(data: Path) -> None:
    lol = "".join(f'<!ENTITY l{i + 1} "{f"&l{i};" * 10}">' for i in range(9))
    bomb = f'<?xml version="1.0"?><!DOCTYPE lolz [<!ENTITY l0 "lol">{lol}]><annotation><name>&l9;</name></annotation>'
    (data / "xml/03.xml").write_text(bomb)
    assert "has a document type" in voc(data)


def test_bad_boxes_are_named_and_left_out_and_others_cut_to_the_image(data: Path) -> None:
    boxes = [("cat", (5, 5, 5, 9), 0), ("cat", (50, 5, 60, 9), 0), ("dog", (30, 20, 44, 33), 0)]
    (data / "xml/03.xml").write_text(xml(3, boxes))  # type: ignore[arg-type]
    output = voc(data)
    assert "12 images written" in output
    assert "box 5 5 5 9 of 'cat' has no area" in output
    assert "box 50 5 60 9 of 'cat' has no area" in output
    np.testing.assert_allclose(records(data / "db")[3].rows[:, CORNERS], [[30 / WIDTH, 20 / HEIGHT, 1, 1]])
    with pytest.raises(CafxError, match="has no area"):
        voc(data, "--on-bad", "stop", out="stopped")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "is not JSON"),
        ('{"images": []}', "is not a file of COCO instances"),
        ('{"images": [], "annotations": [], "categories": []}', "has no images"),
        ('{"images": [{}], "annotations": [{}], "categories": []}', "no 'image_id'"),
        ('{"images": [{}], "annotations": [], "categories": [{"id": 1}]}', "no 'name'"),
        ("", "is empty"),
        ("a.png", "is not an entry"),
    ],
)
def test_a_file_that_lists_nothing_is_an_error(data: Path, content: str, message: str) -> None:
    (data / "bad").write_text(content)
    with pytest.raises(CafxError, match=message):
        run(data, data / "bad", data / "db", "--labelmap-out", data / "map")
    assert not (data / "db").exists()
    assert not (data / "map").exists()


def test_bad_items_of_coco_are_skipped(data: Path) -> None:
    content = json.loads((data / "coco.json").read_text())
    content["images"][2]["file_name"] = "../x.png"
    content["images"][4]["file_name"] = 4
    content["annotations"].append({"image_id": 103, "category_id": 3, "bbox": [1, 2, 3]})
    content["annotations"].append({"image_id": 105, "bbox": [1, 2, 3, 4]})
    (data / "coco.json").write_text(json.dumps(content))
    output = run(data / "images", data / "coco.json", data / "db", "--labelmap-out", data / "map")
    assert "8 images written" in output
    for number in (102, 104, 103, 105):
        assert f"image {number}" in output


@pytest.mark.parametrize("shuffle", [(), ("--shuffle", "--seed", "3")])
def test_an_unfinished_database_is_resumed(data: Path, shuffle: tuple[str, ...]) -> None:
    voc(data, *shuffle, out="whole")
    order = [key.split(b"_", 1)[1].decode() for key, _ in items(data / "whole")]
    assert (order == [f"images/{i}.png" for i in range(COUNT)]) is not bool(shuffle)
    broken = data / order[8]
    original = broken.read_bytes()
    broken.write_bytes(b"not yet")
    with pytest.raises(CafxError):
        voc(data, "--on-bad", "stop", *shuffle)
    broken.write_bytes(original)
    with pytest.raises(CafxError, match="created from other images or in another order"):
        voc(data, "--resume", "--shuffle", "--seed", "4")
    assert "resuming after 8 of 12" in voc(data, "--resume", "--sizes-out", data / "sizes", *shuffle)
    assert items(data / "db") == items(data / "whole")
    assert len((data / "sizes").read_text().splitlines()) == COUNT


def test_an_interrupted_run_says_how_to_resume(data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    convert = Conversion.convert

    def interrupt_at_five(self: Conversion, numbered: tuple[int, Any]) -> Any:
        if numbered[0] == 5:
            raise KeyboardInterrupt
        return convert(self, numbered)

    monkeypatch.setattr(Conversion, "convert", interrupt_at_five)
    arguments = [data, data / "list", data / "db", "--labelmap-out", data / "map", "-j", "1"]
    result = CliRunner().invoke(convert_annotations, list(map(str, arguments)))
    assert result.exit_code != 0
    assert "--resume" in result.output
    monkeypatch.undo()
    assert "5 of 12" in voc(data, "--resume")
    assert len(items(data / "db")) == COUNT


def test_an_existing_database_and_its_label_map_are_left_alone(data: Path) -> None:
    voc(data)
    (data / "db.prototxt").write_text("mine")
    with pytest.raises(CafxError, match="already exists"):
        voc(data)
    assert (data / "db.prototxt").read_text() == "mine"


def test_sizes_are_checked(data: Path) -> None:
    (data / "images/5.png").write_bytes(encode(np.zeros((6, 6, 3), np.uint8), ".png", ""))
    (data / "xml/05.xml").write_text(xml(5, [], size=(6, 6)))
    with pytest.raises(CafxError, match=r"5\.png.* differs in size"):
        voc(data, "--check-size")
    assert "12 images" in voc(data, "--check-size", "--resize", "4x3", out="sized")
    refused = CliRunner().invoke(convert_annotations, [".", "a", "b", "--labelmap-out", "c", "--resize", "0x3"])
    assert "is not a size" in refused.output


def test_a_label_map_is_either_made_or_used(data: Path) -> None:
    for options in ([], ["--labelmap", "a", "--labelmap-out", "b"]):
        refused = CliRunner().invoke(convert_annotations, [str(data), str(data / "list"), "db", *options])
        assert refused.exit_code == 2
        assert "--labelmap-out" in refused.output


def test_the_command_runs_as_a_program(data: Path) -> None:
    command = [sys.executable, "-m", "cafx.cli", "convert-annotations", ".", "list", "db", "-b", "leveldb"]
    finished = subprocess.run(
        [*command, "--labelmap-out", "map"], cwd=data, capture_output=True, text=True, timeout=120, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "12 images written to db" in finished.stdout
    refused = subprocess.run(
        [*command, "--labelmap-out", "map"], cwd=data, capture_output=True, text=True, timeout=120, check=False
    )
    assert refused.returncode != 0
    assert "already exists" in refused.stderr
    assert "Traceback" not in refused.stderr


def test_a_terminal_shows_progress(data: Path) -> None:
    ours, its = os.openpty()
    command = [sys.executable, "-m", "cafx.cli", "convert-annotations", ".", "list", "db", "--labelmap-out", "map"]
    process = subprocess.Popen(command, cwd=data, stdout=its, stderr=its, env={**os.environ, "TERM": "xterm"})
    os.close(its)
    received = b""
    with contextlib.suppress(OSError):  # Linux reports the end of a terminal so
        while chunk := os.read(ours, 65536):
            received += chunk
    os.close(ours)
    assert process.wait(120) == 0
    shown = received.decode()
    assert "reading annotations" in shown
    assert "converting" in shown
    assert "100%" in shown
    assert "12 images written" in shown


def test_nothing_is_left_if_no_image_can_be_converted(data: Path) -> None:
    with pytest.raises(CafxError, match="none of the images can be converted"):
        run(data / "nowhere", data / "coco.json", data / "db", "--labelmap-out", data / "map")
    assert not (data / "db").exists()


JOB = ("--executor", "local", "--workers", "1")


@pytest.mark.parametrize("form", ["xml", "list", "coco.json"])
@pytest.mark.parametrize("options", [(), ("--shuffle", "--encode-type", "jpg"), ("--resize", "9x8", "--gray")])
def test_a_job_gives_the_same_database(
    form: str, options: tuple[str, ...], data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("cafx_lib_jobs.manifest.Manifest.of", lambda count, **_: Manifest(count, 5))
    (data / "images/4.png").write_bytes(b"broken")
    root = data if form == "list" else data / "images"
    outputs = []
    for name, more in (("serial", ()), ("job", JOB)):
        files = ("--labelmap-out", data / f"{name}.map", "--sizes-out", data / f"{name}.sizes")
        outputs.append(run(root, data / form, data / name, *files, *options, *more))
        assert "11 images written" in outputs[-1]
        assert "images/4.png" in outputs[-1] or "4.png' cannot be decoded" in outputs[-1]
    with open_database(data / "serial") as serial, open_database(data / "job") as job:
        assert [(key, bytes(value)) for key, value in job.items()] == [(k, bytes(v)) for k, v in serial.items()]
    for kind in ("map", "sizes"):
        assert (data / f"job.{kind}").read_bytes() == (data / f"serial.{kind}").read_bytes()
    assert not list(data.glob("*.job"))


def test_a_job_stops_at_what_the_serial_run_stops_at(data: Path) -> None:
    (data / "map").write_text('item { name: "cat" label: 1 }')
    arguments = (data / "images", data / "xml", data / "db", "--labelmap", data / "map", "--check-label", *JOB)
    with pytest.raises(CafxError, match=r"has an object of unknown class: got (dog|bird), expected a class of the"):
        run(*arguments)
    done = CliRunner().invoke(convert_annotations, [*map(str, arguments), "--shards", "2", "--sizes-out", "x"])
    assert "--sizes-out needs one database" in done.output


def test_shards_of_annotations(data: Path) -> None:
    run(data / "images", data / "xml", data / "db", "--labelmap-out", data / "map", "--shards", "5", *JOB)
    counts = []
    for number in range(5):
        with open_database(data / f"db-{number:05d}-of-00005") as reader:
            counts.append(len(reader))
    assert counts == [3, 3, 2, 2, 2]


def test_examples_of_slices() -> None:
    assert doctest.testmod(cafx_command_convert_annotations.slices).failed == 0
