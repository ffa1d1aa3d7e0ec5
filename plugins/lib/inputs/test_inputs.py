"""Finding images, reading means and labels, scoring, and selective search."""

from __future__ import annotations

import doctest
from pathlib import Path

import numpy as np
import pytest

import cafx_lib_inputs.options
from cafx.kernel import TEST, CafxError, Net, schema
from cafx_lib_inputs import Scorer, find_images, named_model, selective_search
from cafx_lib_preprocessing import Preprocessing
from cafx_lib_zoo import Card, publish

NET = """
name: "two" layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 5 } } }
layer { name: "sum" type: "Reduction" bottom: "data" top: "sum" reduction_param { axis: 1 } }
"""


def net(text: str = NET) -> Net:
    return Net(schema().parse_text(text, "NetParameter"), TEST, engine="numpy")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("b.jpg", "a.PNG", "notes.txt", "deep/c.jpg"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def test_files_folders_and_patterns_are_found(folder: Path) -> None:
    def names(*given: str) -> list[str]:
        return [str(Path(path).relative_to(folder)) for path in find_images([f"{folder}/{each}" for each in given])]

    assert names(".") == ["a.PNG", "b.jpg"]
    assert names("**/*.jpg", "notes.txt") == ["b.jpg", "deep/c.jpg", "notes.txt"]


@pytest.mark.parametrize(
    ("name", "message"), [("x.jpg", "no such file"), ("*.gif", "no file matches"), ("e", "no images")]
)
def test_missing_images_are_told(name: str, message: str, folder: Path) -> None:
    (folder / "e").mkdir()
    with pytest.raises(CafxError, match=message):
        find_images([str(folder / name)])


def test_scores_equal_the_formula_in_any_batch() -> None:
    crops = np.random.default_rng(0).integers(0, 256, (5, 4, 5, 3), dtype=np.uint8)
    expected = ((crops.astype(np.float32) - (1, 2, 3)) * 0.5).sum((1, 2, 3))
    for batch in (None, 1, 5):
        scorer = Scorer(net(), Preprocessing(mean=(1, 2, 3), scale=0.5), batch=batch)
        found = np.stack(list(scorer.scores(map(scorer.prepare, crops))))
        np.testing.assert_allclose(found[:, 0], expected, rtol=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (("dim: 4 dim: 5", ""), "not images"),
        (('"Input"', '"DummyData"'), "has no input"),
        (("axis: 1", "axis: 0"), "no score per image"),
    ],
)
def test_a_net_of_another_kind_is_refused(change: tuple[str, str], message: str) -> None:
    text = NET.replace(*change).replace('"DummyData" top: "data" input', '"DummyData" top: "data" dummy_data')
    with pytest.raises(CafxError, match=message):
        list(Scorer(net(text)).scores(np.zeros((1, 3, 4, 5), np.float32)))


def test_an_unknown_output_is_refused() -> None:
    with pytest.raises(CafxError, match="no output 'prob'"):
        Scorer(net(), output="prob")


@pytest.mark.slow
def test_selective_search_finds_an_object_and_is_repeatable() -> None:
    image = np.full((80, 100, 3), 30, np.uint8)
    image[20:60, 30:70] = (0, 200, 250)
    first, second = selective_search(image), selective_search(image)
    assert (first == second).all()
    assert min(np.abs(window - (20, 30, 60, 70)).max() for window in first) <= 3


@pytest.mark.slow
def test_selective_search_proposes_fewer_windows_of_a_smaller_picture() -> None:
    image = np.random.default_rng(0).integers(0, 256, (40, 50, 3), dtype=np.uint8).repeat(2, axis=0).repeat(2, axis=1)
    small, usual = selective_search(image, 100), selective_search(image)
    assert 0 < len(small) < len(usual)
    for windows in (small, usual):
        assert (windows >= 0).all()
        assert (windows[:, 2:] <= (80, 100)).all()


def test_several_outputs_come_from_one_pass() -> None:
    text = NET + 'layer { name: "most" type: "Reduction" bottom: "data" top: "most" reduction_param { axis: 2 } }'
    scorer = Scorer(net(text), output="sum")
    inputs = np.random.default_rng(0).normal(size=(3, 3, 4, 5)).astype(np.float32)
    found = [np.stack(values) for values in zip(*scorer.values(inputs, ["most", "sum"]), strict=True)]
    np.testing.assert_allclose(found[0], inputs.sum((2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found[1], inputs.sum((1, 2, 3))[:, None], rtol=1e-4, atol=1e-5)
    assert [len(each) for each in scorer.scores(inputs)] == [1] * 3
    with pytest.raises(CafxError, match="no output 'data'"):
        list(scorer.values(inputs, ["data"]))


def test_examples_run() -> None:
    assert doctest.testmod(cafx_lib_inputs.options) == (0, 4)


def test_a_model_s_folder_names_net_weights_preprocessing_and_labels(tmp_path: Path) -> None:
    files = {"deploy.prototxt": NET.encode(), "w.caffemodel": b"x", "labels.txt": b"a\nb\n"}
    card = Card("Two", weights="w.caffemodel", labels="labels.txt", preprocessing={"mean": [1, 2, 3]})
    publish(tmp_path / "m", card, files)

    def read(model: str | None = None, **given: object) -> Preprocessing:
        from cafx_lib_preprocessing import read_preprocessing

        return (read_preprocessing(model) if model else Preprocessing()).changed(**given)

    found = named_model(str(tmp_path / "m"), [], read, size=(7, 8))
    assert (found.net, found.weights) == (f"{tmp_path}/m/deploy.prototxt", [f"{tmp_path}/m/w.caffemodel"])
    assert (found.preprocessing.mean, found.preprocessing.size) == ((1, 2, 3), (7, 8))
    assert found.preprocessing.names(2) == ["a", "b"]
    assert not found.trusted
    assert named_model(str(tmp_path / "m"), ["mine"], read).weights == ["mine"]
    plain = named_model("net.prototxt", ["w"], read)
    assert (plain.net, plain.weights, plain.preprocessing, plain.trusted) == (
        "net.prototxt",
        ["w"],
        Preprocessing(),
        True,
    )
    publish(tmp_path / "bare", Card("Bare"), {"deploy.prototxt": NET.encode()})
    with pytest.raises(CafxError, match="has no weights"):
        named_model(str(tmp_path / "bare"), [], read)
    with pytest.raises(CafxError, match=r"no readme\.md"):
        named_model(str(tmp_path), [], read)
