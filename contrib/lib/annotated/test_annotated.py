"""Records, boxes, samplers and distortions, against protobuf and box-by-box transcriptions of SSD's rules."""

from __future__ import annotations

import contextlib
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import TRAIN, CafxError, TransformationParameter, schema
from cafx.kernel.schema import complete
from cafx_data_annotateddata.options import BatchSampler, SampleConstraint, Sampler
from cafx_dialect_ssd import DistortionParameter, EmitConstraint, ExpansionParameter, NoiseParameter
from cafx_lib_annotated import images
from cafx_lib_annotated.boxes import emitted, extrapolated, mirrored, projected, resized
from cafx_lib_annotated.distortion import Canvas, draw_distortion, expand
from cafx_lib_annotated.records import no_rows, read_record, record_bytes, with_instances
from cafx_lib_annotated.samplers import Jitter, Samplers
from cafx_lib_annotated.transform import AnnotatedTransformer
from cafx_lib_feed.datum import datum_bytes
from cafx_lib_ssd import ResizeParameter

CLOSE = 1e-5
WHOLE = np.array([0, 0, 1, 1], np.float32)
BOX = ("xmin", "ymin", "xmax", "ymax")
seeds = st.integers(0, 2**32 - 1)


def rows_of(rng: np.random.Generator, count: int) -> np.ndarray[Any, Any]:
    rows = np.zeros((count, 7), np.float32)
    rows[:, 0] = rng.integers(-1, 4, count)
    low = rng.uniform(-0.2, 0.9, (count, 2))
    rows[:, 2:4], rows[:, 4:6] = low, low + rng.uniform(0.01, 0.5, (count, 2))
    rows[:, 6] = rng.integers(0, 2, count)
    return with_instances(rows)


@given(seeds, st.integers(0, 9))
@settings(deadline=None, max_examples=40)
def test_records_are_what_protobuf_reads_and_writes(seed: int, count: int) -> None:
    rows = rows_of(np.random.default_rng(seed), count)
    datum = datum_bytes(np.arange(12, dtype=np.uint8).reshape(3, 2, 2), 5, encoded=False)
    value = record_bytes(datum, rows)
    message = schema()["AnnotatedDatum"].FromString(value)
    assert message.datum.SerializeToString() == datum
    assert message.SerializeToString() == value
    found = [
        [group.group_label, each.instance_id, *(getattr(each.bbox, name) for name in BOX), each.bbox.difficult]
        for group in message.annotation_group
        for each in group.annotation
    ]
    record = read_record(b"", memoryview(value))
    assert record.rows.tolist() == found
    assert sorted(found) == sorted(rows.tolist())
    assert bytes(record.datum) == datum
    assert record.kind == 0


@given(st.binary(max_size=40))
def test_any_other_bytes_are_an_error_or_a_record(value: bytes) -> None:
    with contextlib.suppress(CafxError):
        assert read_record(b"k", memoryview(value)).rows.shape[1] == 7


@pytest.mark.parametrize(
    "value", [b"\x08\x01", b"\x1a\x02\x12", b"\x1a\x02\x10\x01", b"\x1a\x06\x12\x04\x12\x02\x08\x01", b"\0"]
)
def test_a_damaged_record_is_an_error_that_names_the_item(value: bytes) -> None:
    with pytest.raises(CafxError, match="item 'k' is not an AnnotatedDatum"):
        read_record(b"k", memoryview(value))


def loop_resized(box: Any, options: ResizeParameter, height: int, width: int) -> list[float]:
    """One box after resizing, as SSD's policy says for each mode."""
    new_height, new_width = float(options.height), float(options.width)
    aspect, target = width / height, new_width / new_height
    pad_x = pad_y = 0.0
    if options.resize_mode.name == "FIT_SMALL_SIZE":
        if aspect < target:
            new_height = new_width / aspect
        else:
            new_width = aspect * new_height
    if options.resize_mode.name == "FIT_LARGE_SIZE_AND_PAD":
        if aspect > target:
            pad_y = (new_height - new_width / aspect) / 2
        else:
            pad_x = (new_width - aspect * new_height) / 2
    x0 = pad_x + max(0.0, box[0] * (new_width - 2 * pad_x))
    y0 = pad_y + max(0.0, box[1] * (new_height - 2 * pad_y))
    x1 = pad_x + min(new_width, box[2] * (new_width - 2 * pad_x))
    y1 = pad_y + min(new_height, box[3] * (new_height - 2 * pad_y))
    return [x0 / new_width, y0 / new_height, x1 / new_width, y1 / new_height]


@given(seeds, st.sampled_from(["WARP", "FIT_SMALL_SIZE", "FIT_LARGE_SIZE_AND_PAD"]))
@settings(deadline=None)
def test_resized_boxes_equal_those_computed_one_by_one(seed: int, mode: str) -> None:
    rng = np.random.default_rng(seed)
    boxes = rows_of(rng, 5)[:, 2:6]
    height, width, new_height, new_width = rng.integers(5, 400, 4).tolist()
    options = ResizeParameter(resize_mode=mode, height=new_height, width=new_width)
    expected = [loop_resized(box, options, height, width) for box in boxes.tolist()]
    np.testing.assert_allclose(resized(boxes, options, height, width), expected, rtol=1e-4, atol=CLOSE)


@given(seeds)
@settings(deadline=None)
def test_projected_boxes_equal_those_computed_one_by_one(seed: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, window = rows_of(rng, 8)[:, 2:6], rows_of(rng, 1)[0, 2:6]
    found, kept = projected(boxes, window)
    centre = emitted(boxes, window, EmitConstraint())
    overlap = emitted(boxes, window, EmitConstraint(emit_type="MIN_OVERLAP", emit_overlap=0.4))
    for index, box in enumerate(boxes.astype(float)):
        wide, high = window[2] - window[0], window[3] - window[1]
        apart = box[0] >= window[2] or box[2] <= window[0] or box[1] >= window[3] or box[3] <= window[1]
        assert kept[index] == (not apart)
        if not apart:
            ratio = [(box[0] - window[0]) / wide, (box[1] - window[1]) / high]
            ratio += [(box[2] - window[0]) / wide, (box[3] - window[1]) / high]
            np.testing.assert_allclose(found[index], np.clip(ratio, 0, 1), atol=1e-4)
        x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
        assert centre[index] == (window[0] <= x <= window[2] and window[1] <= y <= window[3])
        common = max(0.0, min(box[2], window[2]) - max(box[0], window[0]))
        common *= max(0.0, min(box[3], window[3]) - max(box[1], window[1]))
        covered = common / ((box[2] - box[0]) * (box[3] - box[1]))
        if abs(covered - 0.4) > CLOSE:
            assert overlap[index] == (covered > 0.4)


def test_boxes_are_clipped_when_the_window_is_the_whole_image_and_empty_ones_dropped() -> None:
    boxes = np.array([[-0.5, 0, 0.5, 2], [0.2, 0.2, 0.2, 0.4], [1, 0, 2, 1]], np.float32)
    found, kept = projected(boxes, WHOLE)
    assert kept.tolist() == [True, False, False]
    assert found[0].tolist() == [0, 0, 0.5, 1]
    assert mirrored(found[:1])[0].tolist() == [0.5, 0, 1, 1]


def test_extrapolated_boxes_are_in_units_of_the_scales() -> None:
    options = ResizeParameter(resize_mode="FIT_SMALL_SIZE", height=100, width=100, height_scale=50, width_scale=80)
    boxes = np.array([[0.25, 0.5, 0.75, 1]], np.float32)
    crop = np.array([0, 0, 0.5, 1], np.float32)  # of an image of 100×200 pixels
    np.testing.assert_allclose(extrapolated(boxes, options, 40, 80, crop), [[0.3125, 1, 0.9375, 2]], rtol=1e-6)
    with pytest.raises(ValueError, match="width 50"):
        extrapolated(boxes, options, 40, 80, np.array([0, 0, 0.25, 1], np.float32))


def jaccard(one: Any, two: Any) -> tuple[float, float, float]:
    """Jaccard overlap, and the fraction of each box that the other covers."""
    common = max(0.0, min(one[2], two[2]) - max(one[0], two[0])) * max(0.0, min(one[3], two[3]) - max(one[1], two[1]))
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return common / (sum(areas) - common), common / areas[0], common / areas[1]


def satisfied(windows: Any, boxes: Any, **bounds: float) -> np.ndarray[Any, Any]:
    option = BatchSampler(sample_constraint=SampleConstraint(**bounds), max_trials=len(windows))
    return Samplers([option]).satisfied(windows, boxes)


def draw(sampler: Sampler, count: int, rng: np.random.Generator) -> np.ndarray[Any, Any]:
    return Samplers([BatchSampler(sampler=sampler, max_trials=count)]).draw(rng)


@given(seeds, st.floats(0, 1), st.floats(0, 1), st.sampled_from([(0, 1), (0,), (1,)]), st.integers(0, 4))
@settings(deadline=None)
def test_windows_satisfy_their_constraint(seed: int, low: float, high: float, measures: Any, count: int) -> None:
    rng = np.random.default_rng(seed)
    boxes, windows = rows_of(rng, count)[:, 2:6], rows_of(rng, 9)[:, 2:6]
    names = ("jaccard_overlap", "sample_coverage", "object_coverage")
    bounds = {f"min_{names[measures[0]]}": low, f"max_{names[measures[-1]]}": high}
    found = satisfied(windows, boxes, **bounds)
    for window, fits in zip(windows.astype(float), found, strict=True):
        values = [jaccard(window, box.astype(float)) for box in boxes]
        near = [abs(each[measures[0]] - low) < CLOSE or abs(each[measures[-1]] - high) < CLOSE for each in values]
        if not any(near):
            assert fits == any(each[measures[0]] >= low and each[measures[-1]] <= high for each in values)
    assert satisfied(windows, boxes).all()


@given(seeds, st.floats(0.05, 1), st.floats(0.05, 1), st.floats(0.1, 8), st.floats(0.1, 8))
@settings(deadline=None, max_examples=50)
def test_windows_have_the_sizes_of_their_sampler(seed: int, a: float, b: float, c: float, d: float) -> None:
    scales, aspects = sorted((a, b)), sorted((c, d))
    sampler = Sampler(
        min_scale=scales[0], max_scale=scales[1], min_aspect_ratio=aspects[0], max_aspect_ratio=aspects[1]
    )
    windows = draw(sampler, 50, np.random.default_rng(seed)).astype(float)
    sides = windows[:, 2:] - windows[:, :2]
    assert windows.min() >= 0
    assert windows.max() <= 1 + CLOSE
    scale = np.sqrt(sides.prod(axis=1))
    assert ((scale >= scales[0] - 1e-4) & (scale <= scales[1] + 1e-4)).all()
    aspect = sides[:, 0] / sides[:, 1]
    assert ((aspect <= aspects[1] * 1.001) | (aspect <= scale**2 * 1.001)).all()
    assert ((aspect >= aspects[0] * 0.999) | (aspect >= 0.999 / scale**2)).all()


def test_windows_lie_everywhere_and_samplers_are_chosen_alike() -> None:
    rng = np.random.default_rng(0)
    low = draw(Sampler(min_scale=0.5, max_scale=0.5), 4000, rng)[:, :2] / 0.5
    np.testing.assert_allclose(np.histogram2d(*low.T, bins=4, range=[[0, 1]] * 2)[0] / 4000, 1 / 16, atol=0.02)
    samplers = [BatchSampler(sampler=Sampler(min_scale=s, max_scale=s), max_sample=1) for s in (0.3, 0.6, 1.0)]
    off = BatchSampler(use_original_image=False)
    none = BatchSampler(sample_constraint=SampleConstraint(min_jaccard_overlap=0.1))
    boxes = no_rows()[:, 2:6]
    drawn = [Samplers([*samplers, off, none]).sample(boxes, rng) for _ in range(1500)]
    widths = [round(float(window[2] - window[0]), 1) for window in drawn if window is not None]
    assert len(widths) == 1500
    for width in (0.3, 0.6, 1.0):
        assert widths.count(width) / 1500 == pytest.approx(1 / 3, abs=0.05)
    assert Samplers([off, none]).sample(boxes, rng) is None
    assert Samplers([off]).sample(boxes, rng) is None


def test_a_sampler_keeps_at_most_max_sample_windows_of_max_trials() -> None:
    whole = BatchSampler(max_sample=1, max_trials=3)
    half = BatchSampler(sampler=Sampler(min_scale=0.5, max_scale=0.5), max_trials=3)
    rng = np.random.default_rng(1)
    drawn = [Samplers([whole, half]).sample(no_rows()[:, 2:6], rng) for _ in range(2000)]
    wholes = sum(window is not None and window[2] - window[0] > 0.9 for window in drawn)
    assert wholes / 2000 == pytest.approx(1 / 4, abs=0.04)


PIXELS = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


def distorted(seed: int = 0, image: Any = PIXELS, **options: float) -> np.ndarray[Any, Any]:
    return draw_distortion(DistortionParameter(**options), image.shape[2], np.random.default_rng(seed))(image)


@given(seeds, st.floats(0, 1), st.booleans())
@settings(deadline=None)
def test_a_jitter_cuts_off_no_more_than_it_says(seed: int, jitter: float, keeps_ratio: bool) -> None:
    rng = np.random.default_rng(seed)
    windows = np.array([Jitter(jitter, keeps_ratio).sample(WHOLE[None], rng) for _ in range(20)])
    sides = windows[:, 2:] - windows[:, :2]
    assert windows.dtype == np.float32
    assert (windows[:, :2] >= 0).all()
    assert (windows[:, 2:] <= 1 + CLOSE).all()
    assert (sides >= 1 - jitter - CLOSE).all()
    if keeps_ratio:
        np.testing.assert_allclose(sides[:, 0], sides[:, 1], atol=CLOSE)


def test_a_jitter_leaves_some_images_whole_and_cuts_others_less() -> None:
    rng = np.random.default_rng(0)
    windows = np.array([Jitter(0.6, False).sample(WHOLE[None], rng) for _ in range(20000)])
    sides, low = windows[:, 2:] - windows[:, :2], windows[:, :2]
    whole = (windows == WHOLE).all(axis=1)
    assert whole.mean() == pytest.approx(0.2, abs=0.02)
    strong = (sides < 0.7).any(axis=1)
    assert strong.mean() == pytest.approx(0.6 * 0.75, abs=0.02)
    assert sides[~whole].mean() == pytest.approx(1 - 0.15 * 0.25 - 0.3 * 0.75, abs=0.01)
    assert (low[~whole] / (1 - sides[~whole])).mean() == pytest.approx(0.5, abs=0.01)
    assert abs(np.corrcoef(sides[strong].T)[0, 1]) < 1
    assert (abs(sides[~whole, 0] - sides[~whole, 1]) > 0.05).mean() > 0.5


def test_samplers_come_before_a_jitter_and_padding_keeps_its_ratio() -> None:
    square = {"height": 8, "width": 8}
    padded = {**square, "resize_mode": "FIT_LARGE_SIZE_AND_PAD"}
    sampler = BatchSampler(max_sample=1)
    assert isinstance(transformer([sampler], resize_param=square, jitter=0.5).samplers, Samplers)
    for resize, keeps_ratio in ((square, False), (padded, True)):
        jitter = transformer(resize_param=resize, jitter=0.5).samplers
        assert isinstance(jitter, Jitter)
        assert (jitter.jitter, jitter.keeps_ratio) == (0.5, keeps_ratio)
    assert isinstance(transformer(resize_param=square).samplers, Samplers)


def test_distortions_have_the_strength_and_probability_that_they_say() -> None:
    assert distorted() is PIXELS
    grey = np.full((2, 2, 3), 100, np.uint8)
    levels = {int(distorted(seed, grey, brightness_prob=1, brightness_delta=32)[0, 0, 0]) for seed in range(400)}
    assert min(levels) in range(68, 72)
    assert max(levels) in range(129, 133)
    factors = [
        distorted(s, grey, contrast_prob=0.5, contrast_lower=0.5, contrast_upper=1.5)[0, 0, 0] for s in range(600)
    ]
    assert sum(level == 100 for level in factors) / 600 == pytest.approx(0.5, abs=0.07)
    assert min(factors) >= 50
    assert max(factors) <= 150
    assert (distorted(3, grey, saturation_prob=1, saturation_lower=2, saturation_upper=2, hue_prob=1) == grey).all()
    orders = {tuple(distorted(s, PIXELS[:1, :1], random_order_prob=1)[0, 0].tolist()) for s in range(60)}
    assert len(orders) == math.factorial(3)


def test_saturation_and_hue_change_these_alone() -> None:
    module = images.cv2()
    before = module.cvtColor(PIXELS, module.COLOR_BGR2HSV).astype(int)
    bright = (before[:, :, 2] > 60) & (before[:, :, 1] > 120)  # elsewhere 8 bits do not determine the hue
    turns = []
    for seed in range(8):
        after = module.cvtColor(distorted(seed, hue_prob=1, hue_delta=18), module.COLOR_BGR2HSV).astype(int)
        change = ((after - before + 90) % 180 - 90)[bright]
        assert np.ptp(change[:, 0]) <= 6
        assert np.abs(change[:, 1]).max() <= 4
        assert np.abs((after - before)[bright][:, 2]).max() <= 2
        turns.append(float(np.median(change[:, 0])))
    assert min(turns) < -5
    assert max(turns) > 5
    faded = distorted(saturation_prob=1, saturation_lower=0.5, saturation_upper=0.5)
    change = (module.cvtColor(faded, module.COLOR_BGR2HSV).astype(int) - before)[bright]
    assert np.abs(change[:, 1] + before[bright][:, 1] / 2).max() <= 3
    assert np.abs((change[:, 0] + 90) % 180 - 90).max() <= 4
    assert np.abs(change[:, 2]).max() <= 2


def test_an_image_without_colours_has_brightness_and_contrast_changed_only() -> None:
    grey = PIXELS[:, :, :1]
    changed = distorted(0, grey, saturation_prob=1, saturation_lower=3, saturation_upper=3, hue_prob=1, hue_delta=9)
    np.testing.assert_array_equal(changed, grey)
    assert distorted(0, grey, brightness_prob=1, brightness_delta=9).shape == grey.shape


@given(seeds)
@settings(deadline=None)
def test_an_expanded_image_lies_whole_on_its_canvas(seed: int) -> None:
    options = ExpansionParameter(prob=1, max_expand_ratio=4)
    canvas, window = expand(Canvas.of(PIXELS), options, (1.0, 2.4, 300.0), np.random.default_rng(seed))
    whole = canvas.whole()
    assert 20 <= whole.shape[0] <= 80
    assert 30 <= whole.shape[1] <= 120
    part = whole[canvas.top : canvas.top + 20, canvas.left : canvas.left + 30]
    np.testing.assert_array_equal(part, PIXELS)
    outside = np.ones(whole.shape[:2], bool)
    outside[canvas.top : canvas.top + 20, canvas.left : canvas.left + 30] = False
    assert (whole[outside] == [1, 2, 255]).all()
    box, _ = projected(np.array([[0, 0, 1, 1]], np.float32), window)
    expected = [canvas.left, canvas.top, canvas.left + 30, canvas.top + 20]
    np.testing.assert_allclose(box[0] * ([whole.shape[1], whole.shape[0]] * 2), expected, atol=1e-3)
    top, left, height, width = np.random.default_rng(seed).integers(0, 40, 4).tolist()
    height, width = min(height + 1, canvas.height), min(width + 1, canvas.width)
    top, left = min(top, canvas.height - height), min(left, canvas.width - width)
    np.testing.assert_array_equal(canvas.cut(top, left, height, width), whole[top : top + height, left : left + width])


@given(seeds)
@settings(deadline=None, max_examples=30)
def test_a_distorted_image_may_be_cut_before_or_after(seed: int) -> None:
    rng = np.random.default_rng(seed)
    everything = {f"{name}_prob": 1.0 for name in ("brightness", "contrast", "saturation", "hue", "random_order")}
    options = DistortionParameter(**everything, contrast_upper=2, saturation_upper=2, brightness_delta=50, hue_delta=90)
    look = draw_distortion(options, 3, rng)
    canvas, _ = expand(Canvas.of(PIXELS, look), ExpansionParameter(max_expand_ratio=2), (9.0,) * 3, rng)
    whole = canvas.whole()
    np.testing.assert_array_equal(whole[canvas.top :, canvas.left :][:20, :30], look(PIXELS))
    assert (np.delete(whole, range(canvas.top, canvas.top + 20), axis=0) == 9).all()
    top, left = int(rng.integers(canvas.height)), int(rng.integers(canvas.width))
    np.testing.assert_array_equal(canvas.cut(0, 0, top + 1, left + 1), whole[: top + 1, : left + 1])


def test_each_sampler_has_bounds_and_trials_of_its_own() -> None:
    boxes = np.array([[0.4, 0.4, 0.6, 0.6]], np.float32)
    sizes = Sampler(min_scale=0.2, max_scale=1)
    some = BatchSampler(sampler=sizes, sample_constraint=SampleConstraint(min_object_coverage=1.0), max_trials=300)
    none = BatchSampler(sampler=sizes, sample_constraint=SampleConstraint(min_jaccard_overlap=2.0), max_trials=50)
    free = BatchSampler(sampler=sizes, max_trials=40)
    samplers = Samplers([none, some, free])
    windows = samplers.draw(np.random.default_rng(0))
    fits = samplers.satisfied(windows, boxes)
    assert not fits[:50].any()
    assert fits[350:].all()
    inside = (windows[:, :2] <= 0.4).all(axis=1) & (windows[:, 2:] >= 0.6).all(axis=1)
    np.testing.assert_array_equal(fits[50:350], inside[50:350])
    assert 0 < inside[50:350].sum() < 300


def test_an_image_is_expanded_with_its_probability() -> None:
    rng = np.random.default_rng(0)
    options = ExpansionParameter(prob=0.3, max_expand_ratio=4)
    expanded = sum(expand(Canvas.of(PIXELS), options, (0.0,) * 3, rng)[0].height > 20 for _ in range(1000))
    assert expanded / 1000 == pytest.approx(0.3, abs=0.06)  # a ratio below 1.05 keeps 20 rows


def noisy(image: Any = PIXELS, **options: Any) -> np.ndarray[Any, Any]:
    return images.add_noise(image, NoiseParameter(**options), np.random.default_rng(0))


def test_each_noise_does_what_it_says() -> None:
    np.testing.assert_array_equal(noisy(), PIXELS)
    np.testing.assert_array_equal(noisy(inverse=True), 255 - PIXELS)
    assert (np.ptp(noisy(decolorize=True), axis=2) == 0).all()
    assert set(np.unique(noisy(posterize=True)).tolist()) == {32, 96, 160, 224}
    cross = np.pad(PIXELS, ((1, 1), (1, 1), (0, 0)), constant_values=255)
    neighbours = [cross[1:-1, 1:-1], cross[:-2, 1:-1], cross[2:, 1:-1], cross[1:-1, :-2], cross[1:-1, 2:]]
    np.testing.assert_array_equal(noisy(erode=True), np.min(neighbours, axis=0))
    assert noisy(gauss_blur=True).std() < PIXELS.std() / 2
    changed = (noisy(saltpepper=True, saltpepper_param={"fraction": 0.2, "value": [1, 2, 3]}) != PIXELS).any(axis=2)
    assert 0.1 < changed.mean() <= 0.2
    assert 1 < np.abs(noisy(jpeg=30.0).astype(int) - PIXELS).mean() < 120
    dark = PIXELS // 4
    for name in ("hist_eq", "clahe"):
        assert noisy(dark, **{name: True}).max() > dark.max() * 1.5
    hsv = noisy(np.array([[[0, 0, 255], [255, 0, 0]]], np.uint8), convert_to_hsv=True)
    assert hsv.tolist() == [[[0, 255, 255], [120, 255, 255]]]
    lab = noisy(np.array([[[255, 255, 255], [0, 0, 0]]], np.uint8), convert_to_lab=True)
    np.testing.assert_allclose(lab, [[[100, 0, 0], [0, 0, 0]]], atol=0.01)
    for name in ("hist_eq", "clahe", "inverse", "gauss_blur", "erode", "posterize", "decolorize"):
        assert noisy(PIXELS[:, :, :1], **{name: True}).shape == (20, 30, 1)
    assert noisy(PIXELS[:, :, :1], jpeg=50.0).shape == (20, 30, 1)


def transformer(samplers: Any = (), jitter: float | None = None, **options: Any) -> AnnotatedTransformer:
    def failure(message: str, **details: Any) -> CafxError:
        return CafxError(message, **details)

    declared = complete(TransformationParameter)
    return AnnotatedTransformer(declared(**options), samplers, TRAIN, failure, jitter=jitter)


def test_a_resize_param_of_some_probability_leaves_the_other_images_as_they_are() -> None:
    steps = transformer(resize_param={"height": 7, "width": 9, "prob": 0.25})
    rng = np.random.default_rng(0)
    shapes = [steps.prepare(PIXELS, no_rows(), rng, "an image").shape for _ in range(1000)]
    assert set(shapes) == {(3, 7, 9), (3, 20, 30)}
    assert shapes.count((3, 7, 9)) / 1000 == pytest.approx(0.25, abs=0.05)


def test_one_of_the_interpolations_is_drawn_for_each_image() -> None:
    modes = ["LINEAR", "AREA", "NEAREST", "CUBIC", "LANCZOS4"]
    steps = transformer(resize_param={"height": 7, "width": 9, "interp_mode": modes})
    rng = np.random.default_rng(0)
    results = [steps.prepare(PIXELS, no_rows(), rng, "an image").image.tobytes() for _ in range(400)]
    assert len(set(results)) == len(modes)
    for result in set(results):
        assert results.count(result) / 400 == pytest.approx(1 / 5, abs=0.07)


def test_a_mean_image_is_subtracted_before_the_crop(tmp_path: Any) -> None:
    from cafx_format_binaryproto import write_binaryproto

    mean = np.random.default_rng(1).random((1, 3, 20, 30), np.float32) * 100
    write_binaryproto(tmp_path / "mean", mean)
    steps = transformer(mean_file=str(tmp_path / "mean"), crop_h=6, crop_w=8, mirror=True, scale=0.5)
    rng = np.random.default_rng(0)
    flips = set()
    for _ in range(20):
        ready = steps.prepare(PIXELS, no_rows(), rng, "an image")
        out = np.empty(ready.shape, np.float32)
        steps.write(ready, out)
        expected = ((PIXELS.transpose(2, 0, 1) - mean[0]) * 0.5)[:, ready.top :, ready.left :][:, :6, :8]
        np.testing.assert_allclose(out, expected[..., ::-1] if ready.flip else expected, rtol=1e-6)
        flips.add(ready.flip)
    assert flips == {True, False}


def test_noise_converts_colours_only_where_there_are_colours() -> None:
    steps = transformer(noise_param={"convert_to_lab": True})
    with pytest.raises(CafxError, match="converts colours: an image"):
        steps.prepare(PIXELS[:, :, :1], no_rows(), np.random.default_rng(0), "an image")
    ready = steps.prepare(PIXELS, no_rows(), np.random.default_rng(0), "an image")
    out = np.empty(ready.shape, np.float32)
    steps.write(ready, out)
    np.testing.assert_array_equal(out, ready.image.transpose(2, 0, 1))
    assert out.min() < 0


def test_padding_has_the_mode_and_values_that_it_says() -> None:
    options = {"height": 20, "width": 50, "resize_mode": "FIT_LARGE_SIZE_AND_PAD"}
    for mode, border in (("CONSTANT", [7, 8, 9]), ("MIRRORED", None), ("REPEAT_NEAREST", PIXELS[0, 0].tolist())):
        padded = images.resize(PIXELS, ResizeParameter(**options, pad_mode=mode, pad_value=[7, 8, 9]), "NEAREST")
        np.testing.assert_array_equal(padded[:, 10:40], PIXELS)
        if border is None:
            np.testing.assert_array_equal(padded[:, 9], PIXELS[:, 1])
        else:
            assert padded[0, 0].tolist() == border
    with pytest.raises(CafxError, match="wrong number of values"):
        images.resize(PIXELS, ResizeParameter(**options, pad_value=[1, 2]), "NEAREST")
    assert images.resize(PIXELS[:, :, :1], ResizeParameter(**options, pad_value=[7]), "AREA").shape == (20, 50, 1)


def test_sizes_keep_the_ratio_where_the_mode_says_so() -> None:
    modes = SimpleNamespace(height=300, width=300, resize_mode=SimpleNamespace(name="FIT_SMALL_SIZE"))
    assert images.fitted(modes, 375, 500) == (300, 400)
    assert images.fitted(modes, 500, 375) == (400, 300)
    modes.resize_mode.name = "FIT_LARGE_SIZE_AND_PAD"
    assert images.fitted(modes, 375, 500) == (225, 300)
    assert images.final_size(modes, 375, 500) == (300, 300)
