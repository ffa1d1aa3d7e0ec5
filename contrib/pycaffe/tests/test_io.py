"""pycaffe's caffe.io, caffe_pb2, Classifier, Detector and coord_map."""

from __future__ import annotations

import caffe
import numpy as np
import pytest
from caffe import layers
from caffe.coord_map import UndefinedMapException, coord_map_from_to, crop
from caffe.proto import caffe_pb2
from caffe.proto.caffe_pb2 import TEST, NetParameter
from google.protobuf import text_format

from cafx.kernel import CafxError

RNG = np.random.default_rng(0)
IMAGE = RNG.random((9, 12, 3), dtype=np.float32)
TINY = 1e-6


def test_caffe_pb2_has_the_messages_and_enums_of_the_schema():
    net = text_format.Parse('layer { type: "ReLU" include { phase: TEST } }', NetParameter())
    assert net.layer[0].include[0].phase == TEST == caffe_pb2.TEST == caffe_pb2.Phase.Value("TEST")
    assert caffe_pb2.FillerParameter.FAN_OUT == 1
    assert caffe_pb2.DESCRIPTOR.package == "caffe"
    assert {"LayerParameter", "Phase", "TRAIN"} <= set(dir(caffe_pb2))
    assert not hasattr(caffe_pb2, "NothingParameter")


def test_arrays_survive_conversion_to_blobprotos_and_datums():
    array = RNG.random((2, 3, 4)).astype(np.float32)
    blob = caffe.io.array_to_blobproto(array, diff=2 * array)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob), array)
    np.testing.assert_array_equal(caffe.io.blobproto_to_array(blob, return_diff=True), 2 * array)
    legacy = caffe_pb2.BlobProto(num=1, channels=2, height=1, width=1, data=[3, 4])
    assert caffe.io.blobproto_to_array(legacy).shape == (1, 2, 1, 1)
    encoded = caffe.io.arraylist_to_blobprotovector_str([array, array[0]])
    assert [each.shape for each in caffe.io.blobprotovector_str_to_arraylist(encoded)] == [(2, 3, 4), (3, 4)]
    for values in (array, (array * 255).astype(np.uint8)):
        datum = caffe.io.array_to_datum(values, label=4)
        assert datum.label == 4
        np.testing.assert_array_equal(caffe.io.datum_to_array(datum), values)
    with pytest.raises(ValueError, match="three axes"):
        caffe.io.array_to_datum(array[0])


def test_resizing_preserves_constants_ramps_and_smooth_curves():
    assert np.abs(caffe.io.resize_image(IMAGE, (9, 12)) - IMAGE).max() < TINY
    assert (caffe.io.resize_image(np.full((4, 5, 3), 7.0), (6, 7)) == 7).all()
    doubled = caffe.io.resize_image(IMAGE, (18, 24), interp_order=0)
    np.testing.assert_allclose(doubled[::2, ::2], IMAGE, rtol=TINY)
    ramp = np.linspace(0, 1, 5)[None, :, None] * np.ones((4, 1, 2))
    np.testing.assert_allclose(caffe.io.resize_image(ramp, (4, 9))[0, :, 0], np.linspace(0, 1, 9), atol=TINY)
    wave = np.sin(np.linspace(0, 3, 40))[:, None, None] * np.ones((1, 4, 2))
    finer = caffe.io.resize_image(wave, (79, 4), interp_order=3)
    np.testing.assert_allclose(finer[20:60, 0, 0], np.sin(np.linspace(0, 3, 79))[20:60], atol=1e-4)
    assert caffe.io.resize_image(IMAGE, (4, 5)).shape == (4, 5, 3)
    with pytest.raises(caffe.CafxError, match="interp_order"):
        caffe.io.resize_image(IMAGE, (4, 5), interp_order=2)


def test_oversample_crops_corners_and_centre_and_their_mirror_images():
    crops = caffe.io.oversample([IMAGE], (5, 6))
    np.testing.assert_array_equal(crops[0], IMAGE[:5, :6])
    np.testing.assert_array_equal(crops[3], IMAGE[4:, 6:])
    np.testing.assert_array_equal(crops[4], IMAGE[2:7, 3:9])
    np.testing.assert_array_equal(crops[5:], crops[:5, :, ::-1])


def test_deprocess_inverts_preprocess():
    transformer = caffe.io.Transformer({"data": (1, 3, 9, 12)})
    transformer.set_transpose("data", (2, 0, 1))
    transformer.set_channel_swap("data", (2, 1, 0))
    transformer.set_raw_scale("data", 255)
    transformer.set_mean("data", np.array([104.0, 117, 123]))
    transformer.set_input_scale("data", 0.5)
    original = IMAGE.copy()
    processed = transformer.preprocess("data", IMAGE)
    np.testing.assert_array_equal(IMAGE, original)
    np.testing.assert_allclose(processed[0], (IMAGE[:, :, 2] * 255 - 104) * 0.5, rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(transformer.deprocess("data", processed), IMAGE, atol=1e-5)
    transformer.set_mean("data", np.ones((3, 18, 24)))
    assert transformer.mean["data"].shape == (3, 9, 12)
    transformer.set_mean("data", np.ones((9, 12)))


@pytest.mark.parametrize(
    ("setting", "value"),
    [("transpose", (1, 0)), ("channel_swap", (1, 0)), ("mean", np.ones(2)), ("mean", np.ones((1, 1, 1, 1)))],
)
def test_a_transformer_rejects_settings_of_the_wrong_shape(setting, value):
    transformer = caffe.io.Transformer({"data": (1, 3, 9, 12)})
    with pytest.raises(ValueError):
        getattr(transformer, f"set_{setting}")("data", value)
    with pytest.raises(ValueError, match="not an input"):
        transformer.preprocess("date", IMAGE)


@pytest.fixture
def image_file(tmp_path):
    from cafx_lib_feed.images import encode

    def write(array):
        path = tmp_path / "image.png"
        path.write_bytes(encode(array, ".png", "the test's"))
        return str(path)

    return write


def test_images_are_loaded_as_rgb_from_0_to_1(image_file):
    bgr = (RNG.random((4, 5, 3)) * 255).astype(np.uint8)
    path = image_file(bgr)
    np.testing.assert_allclose(caffe.io.load_image(path), bgr[:, :, ::-1] / 255, atol=TINY)
    grey = caffe.io.load_image(path, color=False)
    assert grey.shape == (4, 5, 1)
    np.testing.assert_allclose(grey[0, 0], bgr[0, 0, ::-1] / 255 @ [0.2125, 0.7154, 0.0721], atol=1e-5)
    assert caffe.io.load_image(image_file(bgr[:, :, :1])).shape == (4, 5, 3)
    assert caffe.io.load_image(image_file(bgr[:, :, :1]), color=False).shape == (4, 5, 1)


CLASSES = """
layer { name: "data" type: "Input" top: "data" input_param { shape { dim: 2 dim: 3 dim: 4 dim: 4 } } }
layer { name: "ip" type: "InnerProduct" bottom: "data" top: "ip"
        inner_product_param { num_output: 5 weight_filler { type: "gaussian" std: 0.5 } } }
layer { name: "prob" type: "Softmax" bottom: "ip" top: "prob" }
"""


@pytest.fixture
def model(tmp_path):
    (tmp_path / "net.prototxt").write_text(CLASSES)
    paths = str(tmp_path / "net.prototxt"), str(tmp_path / "w.caffemodel")
    caffe.Net(paths[0], caffe.TEST).save(paths[1])
    return paths


def test_a_classifier_scores_images(model):
    classifier = caffe.Classifier(*model, image_dims=(6, 7), mean=np.ones(3), raw_scale=255, channel_swap=(2, 1, 0))
    scores = classifier.predict([IMAGE, IMAGE[:7]])
    assert scores.shape == (2, 5)
    np.testing.assert_allclose(scores.sum(1), 1, rtol=1e-5)
    assert classifier.predict([IMAGE], oversample=False).shape == (1, 5)
    assert caffe.Classifier(*model).image_dims.tolist() == [4, 4]


def test_a_detector_scores_windows(model, image_file):
    path = image_file((IMAGE * 255).astype(np.uint8))
    windows = [[0, 0, 5, 6], [2, 3, 9, 12]]
    detector = caffe.Detector(*model, mean=np.ones(3), raw_scale=255, channel_swap=(2, 1, 0))
    detections = detector.detect_windows([(path, windows)])
    assert [each["window"] for each in detections] == windows
    assert detections[0]["prediction"].shape == (5,)
    assert detections[1]["filename"] == path
    detector.configure_crop(1)
    assert detector.crop(IMAGE, windows[0]).shape == (4, 4, 3)
    assert detector.detect_windows([]) == []


def test_crop_aligns_blobs_after_strides_and_padding():
    data = layers.Input(shape={"dim": [1, 3, 40, 40]})
    conv = layers.Convolution(data, kernel_size=3, pad=20, num_output=4)
    pool = layers.Pooling(conv, kernel_size=2, stride=2)
    up = layers.Deconvolution(pool, convolution_param={"kernel_size": 2, "stride": 2, "num_output": 2})
    axis, scale, shift = coord_map_from_to(up, data)
    assert (axis, scale.tolist(), shift.tolist()) == (1, [1], [-19])
    assert crop(up, data).fn.params["crop_param"]["offset"] == [19]
    with pytest.raises(AssertionError, match="scale mismatch"):
        crop(pool, data)
    with pytest.raises(RuntimeError):
        coord_map_from_to(layers.InnerProduct(data, num_output=1), data)
    assert issubclass(UndefinedMapException, Exception)


def test_an_encoded_datum_is_decoded():
    cv2 = pytest.importorskip("cv2")
    image = RNG.integers(0, 256, (5, 4, 3), np.uint8)
    datum = caffe_pb2.Datum(encoded=True, data=cv2.imencode(".png", image)[1].tobytes(), label=7)
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), image.transpose(2, 0, 1))
    datum.data = cv2.imencode(".png", image[:, :, 0])[1].tobytes()
    np.testing.assert_array_equal(caffe.io.datum_to_array(datum), image[None, :, :, 0])
    datum.data = b"no image"
    with pytest.raises(CafxError, match="the image of the Datum"):
        caffe.io.datum_to_array(datum)
