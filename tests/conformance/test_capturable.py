"""Which layers an engine may record: all but those whose work is on the host."""

from __future__ import annotations

from cafx.conformance.device_engine import DeviceEngine
from cafx.conformance.harness import Trial
from cafx.kernel import registry

HANDS_OUT_BATCHES = {
    *("Data", "HDF5Data", "ImageData", "MemoryData", "WindowData"),
    *("AnnotatedData", "DenseImageData", "ImageSegData", "RoIData"),
}
SORTS_BOXES_ON_THE_HOST = {
    *("AnchorTarget", "DetectionEvaluate", "DetectionOutput", "MultiBoxLoss", "Proposal", "ProposalTarget"),
    *("RegionLoss", "YoloDetectionOutput", "Yolov3", "Yolov3DetectionOutput"),
}
READS_REGIONS_ON_THE_HOST = {"PSROIPooling", "ROIPooling"}
WRITES_A_FILE = {"HDF5Output"}
SHAPES_FROM_VALUES = {"Filter"}
RUNS_A_PERSON_S_CODE = {"Python", "JAX"}
DRAWS_BY_FILLERS = {"random", "one_shape"}
"""Cases of DummyData."""


def test_only_layers_whose_work_is_on_the_host_are_not_capturable() -> None:
    plugins = registry()
    layers = {name: plugins.load("layer", name) for name in plugins.names("layer")}
    not_capturable = {name for name, layer in layers.items() if layer.capturable is False}
    expected = HANDS_OUT_BATCHES | WRITES_A_FILE | SHAPES_FROM_VALUES | RUNS_A_PERSON_S_CODE
    expected |= SORTS_BOXES_ON_THE_HOST | READS_REGIONS_ON_THE_HOST
    assert not_capturable == expected & set(layers)


def test_dummy_data_is_capturable_where_nothing_is_drawn() -> None:
    plugins = registry()
    cases = plugins.load("layer", "DummyData").cases()
    trials = {case.name: Trial("DummyData", case, engine=DeviceEngine(plugins)) for case in cases}
    assert {name for name, trial in trials.items() if not trial.layer.capturable} == DRAWS_BY_FILLERS
