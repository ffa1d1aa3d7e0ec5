"""Weights keep every bit from format to format, and shared parameters are stored once."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import CafxError, Net, Phase, registry, schema
from cafx.kernel.net import LayerWeights, read_weights
from cafx_lib_zoo import convert

SHARED = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 } } }
layer { name: "z" type: "InnerProduct" bottom: "x" top: "y" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 3 weight_filler { type: "gaussian" } bias_filler { type: "gaussian" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
layer { name: "a" type: "InnerProduct" bottom: "y" top: "v" param { name: "w" } param { name: "b" }
  inner_product_param { num_output: 3 } }
layer { name: "own" type: "InnerProduct" bottom: "v" top: "o" inner_product_param { num_output: 40
  weight_filler { type: "gaussian" } } }
"""
PARTLY = SHARED.replace('bottom: "y" top: "v" param { name: "w" } param', 'bottom: "y" top: "v" param { name: "w" } #')
SUFFIXES = [".caffemodel", ".h5", ".safetensors"]


def net_of(text: str, seed: int = 1) -> Net:
    return Net(schema().parse_text(text, "NetParameter"), Phase.TEST, engine="numpy", seed=seed)


def bits(layers: list[LayerWeights]) -> dict[str, list[tuple[tuple[int, ...], str, bytes]]]:
    return {
        layer.name: [(each.shape, each.data.dtype.str, each.data.tobytes()) for each in layer.blobs] for layer in layers
    }


def bits_of(path: Path) -> dict[str, list[tuple[tuple[int, ...], str, bytes]]]:
    return {name: blobs for name, blobs in bits(read_weights(path, registry())).items() if blobs}


@pytest.mark.parametrize("path", list(itertools.permutations(SUFFIXES)), ids=lambda path: "".join(path))
def test_weights_survive_all_formats_bit_for_bit(path: tuple[str, ...], tmp_path: Path) -> None:
    net = net_of(SHARED)
    net.params["own"][0].mutable_data[0, :2] = [-0.0, np.float32(1e-45)]
    files = [tmp_path / f"{number}{suffix}" for number, suffix in enumerate((*path, path[0]))]
    net.save(files[0])
    for source, target in itertools.pairwise(files):
        done = convert(source, target, net)
        assert (done.values, done.shared, done.left_out) == (9 + 3 + 120 + 40, 2, [])
    assert bits_of(files[-1]) == bits_of(files[0])
    other = net_of(SHARED, seed=2)
    other.copy_from(str(files[-1]))
    for name, blobs in net.params.items():
        for one, two in zip(blobs, other.params[name], strict=True):
            assert one.data.tobytes() == two.data.tobytes()


def test_without_a_net_a_caffemodel_s_own_names_say_what_is_shared(tmp_path: Path) -> None:
    net_of(SHARED).save(tmp_path / "w.caffemodel")
    done = convert(tmp_path / "w.caffemodel", tmp_path / "w.safetensors")
    assert (done.shared, done.blobs, done.values) == (2, 4, 172)
    assert done == convert(tmp_path / "w.safetensors", tmp_path / "again.caffemodel")
    assert bits_of(tmp_path / "again.caffemodel") == bits_of(tmp_path / "w.caffemodel")
    names = [layer.name for layer in read_weights(tmp_path / "again.caffemodel", registry())]
    assert names == ["x", "z", "relu", "a", "own"]
    assert convert(tmp_path / "w.caffemodel", tmp_path / "w.h5").shared == 2
    net_of(PARTLY).save(tmp_path / "w.h5")
    with pytest.raises(CafxError, match=r"'a' shares a parameter.*--net"):
        convert(tmp_path / "w.h5", tmp_path / "lost.caffemodel")
    assert not (tmp_path / "lost.caffemodel").exists()


def test_blobs_of_one_name_with_other_values_are_both_kept(tmp_path: Path) -> None:
    text = (
        SHARED.replace('param { name: "b" }', "")
        .replace('name: "w"', 'name: "w1"', 1)
        .replace('name: "w"', 'name: "w2"')
    )
    net_of(text.replace("num_output: 3 }", 'num_output: 3 weight_filler { type: "gaussian" } }')).save(
        tmp_path / "w.caffemodel"
    )
    data = (tmp_path / "w.caffemodel").read_bytes()
    assert data.count(b"\x0a\x02w2") == 1
    (tmp_path / "w.caffemodel").write_bytes(data.replace(b"\x0a\x02w2", b"\x0a\x02w1"))
    before = bits_of(tmp_path / "w.caffemodel")
    convert(tmp_path / "w.caffemodel", tmp_path / "w.safetensors")
    convert(tmp_path / "w.caffemodel", tmp_path / "w.h5")
    assert before["a"] != before["z"]
    assert bits_of(tmp_path / "w.safetensors") == bits_of(tmp_path / "w.h5") == before


@pytest.mark.slow
def test_real_models_survive(shared: Path, tmp_path: Path) -> None:
    models = shared / "models"
    cases = [
        ("squeezenet_v1.0/decompressed_SqueezeNet.caffemodel", "squeezenet_v1.0/SqueezeNet_deploy.prototxt"),
        ("lenet_v1/lenet_iter_10000.caffemodel", "lenet_v1/lenet.prototxt"),
        ("cifar10_hdf5/cifar10_quick_iter_5000.caffemodel.h5", "cifar10_hdf5/cifar10_quick.prototxt"),
    ]
    if not models.is_dir():
        pytest.skip(f"needs {models}")
    for weights, definition in cases:
        net = Net(str(models / definition), Phase.TEST, engine="numpy")
        previous = models / weights
        for suffix in (".safetensors", ".h5", ".caffemodel"):
            convert(previous, tmp_path / f"w{suffix}", net)
            previous = tmp_path / f"w{suffix}"
        other = Net(str(models / definition), Phase.TEST, engine="numpy")
        net.copy_from(str(models / weights))
        other.copy_from(str(previous))
        for name, blobs in net.params.items():
            assert [each.data.tobytes() for each in blobs] == [each.data.tobytes() for each in other.params[name]]


def test_shapes_of_old_files_need_the_net_or_safetensors(shared: Path, tmp_path: Path) -> None:
    old = shared / "models/lenet_v1/lenet_iter_10000.caffemodel"
    if not old.is_file():
        pytest.skip(f"needs {old}")
    with pytest.raises(CafxError, match=r"old rules.*--net"):
        convert(old, tmp_path / "w.h5")
    convert(old, tmp_path / "w.safetensors")
    net = Net(str(shared / "models/lenet_v1/lenet.prototxt"), Phase.TEST, engine="numpy")
    assert net.copy_from(str(tmp_path / "w.safetensors")).untouched == []
    assert list(tmp_path.iterdir()) == [tmp_path / "w.safetensors"]


def test_what_does_not_fit_is_refused_and_nothing_is_written(tmp_path: Path) -> None:
    net_of(SHARED).save(tmp_path / "w.caffemodel")
    with pytest.raises(CafxError, match="the same file"):
        convert(tmp_path / "w.caffemodel", tmp_path / "w.caffemodel")
    with pytest.raises(CafxError, match="are not the weights of this net: got nothing for other"):
        convert(tmp_path / "w.caffemodel", tmp_path / "x.h5", net_of(SHARED.replace('"own"', '"other"')))
    with pytest.raises(CafxError, match="shape mismatch"):
        convert(tmp_path / "w.caffemodel", tmp_path / "x.h5", net_of(SHARED.replace("40", "41")))
    with pytest.raises(CafxError, match="cannot be read"):
        convert(tmp_path / "none.caffemodel", tmp_path / "x.h5")
    (tmp_path / "pickle").write_bytes(b"\x80\x04cos\nsystem\n(S'touch x'\ntR.")
    with pytest.raises(CafxError, match="pickle"):
        convert(tmp_path / "pickle", tmp_path / "x.h5")
    with pytest.raises(CafxError, match="cannot be written"):
        convert(tmp_path / "w.caffemodel", tmp_path / "no/such/x.safetensors")
    fewer = SHARED[: SHARED.index('layer { name: "own"')]
    assert convert(tmp_path / "w.caffemodel", tmp_path / "fewer.h5", net_of(fewer)).left_out == ["own"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["fewer.h5", "pickle", "w.caffemodel"]
