"""MultiBoxLoss passes the conformance suite, and its losses equal a loop over priors."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.conformance import layer_suite
from cafx.kernel import TRAIN, CafxError, Net, schema

TestMultiBoxLoss = layer_suite("MultiBoxLoss")
CLASSES, PRIORS, IMAGES = 3, 7, 2


def build(options: dict[str, Any], layer: str = "", objects: int = 4, sets: int = 1) -> Net:
    shapes = ((IMAGES, PRIORS * sets * 4), (IMAGES, PRIORS * CLASSES), (1, 2, PRIORS * 4), (1, 1, objects, 8))
    dims = "".join(f"shape {{ {' '.join(f'dim: {length}' for length in shape)} }}" for shape in shapes)
    given_options = " ".join(f"{name}: {value}" for name, value in {"num_classes": CLASSES, **options}.items())
    text = f"""
        layer {{ name: "i" type: "Input" top: "loc" top: "conf" top: "pri" top: "gt" input_param {{ {dims} }} }}
        layer {{ name: "m" type: "MultiBoxLoss" bottom: "loc" bottom: "conf" bottom: "pri" bottom: "gt" top: "loss"
          {layer} multibox_loss_param {{ {given_options} }} }}"""
    return Net(schema().parse_text(text, "NetParameter"), TRAIN, engine="numpy", dtype=np.float64)


def inputs(seed: int, objects: int = 4, sets: int = 1) -> dict[str, Any]:
    rng = np.random.default_rng(seed)

    def boxes(count: int) -> Any:
        low = rng.uniform(-0.1, 0.6, (count, 2))
        return np.concatenate([low, low + rng.uniform(0.2, 0.5, (count, 2))], axis=1)

    truth = np.zeros((objects, 8))
    truth[:, 0] = np.sort(rng.integers(-1, IMAGES, objects))
    truth[:, 1] = rng.integers(1, CLASSES, objects)
    truth[:, 3:7] = boxes(objects)
    truth[:, 7] = rng.random(objects) < 0.3
    return {
        "loc": rng.normal(0, 1, (IMAGES, PRIORS * sets * 4)),
        "conf": rng.normal(0, 1, (IMAGES, PRIORS * CLASSES)),
        "pri": np.stack([boxes(PRIORS).ravel(), np.tile([0.1, 0.1, 0.2, 0.2], PRIORS)])[None],
        "gt": truth[None, None],
    }


def overlap(one: Any, two: Any) -> float:
    width, height = min(one[2], two[2]) - max(one[0], two[0]), min(one[3], two[3]) - max(one[1], two[1])
    sizes = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, two)]
    return width * height / (sum(sizes) - width * height) if min(width, height) > 0 else 0.0


def offset_loss(t: Any, box: Any, prior: Any, smooth: bool) -> float:
    width, height = prior[2] - prior[0], prior[3] - prior[1]
    true = [
        (box[0] + box[2] - prior[0] - prior[2]) / 2 / width / 0.1,
        (box[1] + box[3] - prior[1] - prior[3]) / 2 / height / 0.1,
        math.log((box[2] - box[0]) / width) / 0.2,
        math.log((box[3] - box[1]) / height) / 0.2,
    ]
    differences = [abs(a - b) for a, b in zip(t, true, strict=True)]
    return sum(d - 0.5 if smooth and d >= 1 else d * d / 2 for d in differences)


def score_loss(scores: Any, label: int) -> float:
    return math.log(sum(math.exp(score) for score in scores)) - float(scores[label])


def match(priors: Any, objects: list[Any], threshold: float | None) -> dict[int, int]:
    table = {(p, k): overlap(priors[p], row[3:7]) for p in range(PRIORS) for k, row in enumerate(objects)}
    found: dict[int, int] = {}
    for _ in objects:
        free = {
            pair: v for pair, v in table.items() if v > 1e-6 and pair[0] not in found and pair[1] not in found.values()
        }
        if free:
            prior, best = max(free, key=lambda pair: free[pair])
            found[prior] = best
    for p in range(PRIORS):
        best = max(range(len(objects)), key=lambda k: table[p, k], default=-1)
        if threshold is not None and p not in found and best >= 0 and table[p, best] >= threshold:
            found[p] = best
    return found


def loss(values: dict[str, Any], options: dict[str, Any]) -> float:
    """The rule for shared boxes, CENTER_SIZE and SOFTMAX, prior by prior; divided by the number of matches."""
    mining = options.get("mining_type", "MAX_NEGATIVE")
    smooth, threshold = options.get("loc_loss_type") != "L2", options.get("overlap_threshold", 0.5)
    loc, conf = values["loc"].reshape(IMAGES, PRIORS, 4), values["conf"].reshape(IMAGES, PRIORS, CLASSES)
    priors, truth = values["pri"][0, 0].reshape(PRIORS, 4), values["gt"].reshape(-1, 8)
    total, count = 0.0, 0
    for image in range(IMAGES):
        objects = [row for row in truth if row[0] == image and (options["use_difficult_gt"] == "true" or not row[7])]
        found = match(priors, objects, None if options.get("match_type") == "BIPARTITE" else threshold)
        labels = [int(objects[found[p]][1]) if p in found else 0 for p in range(PRIORS)]
        scores = [score_loss(conf[image, p], labels[p]) for p in range(PRIORS)]
        offsets = {p: offset_loss(loc[image, p], objects[k][3:7], priors[p], smooth) for p, k in found.items()}
        chosen = set(range(PRIORS))
        if mining == "MAX_NEGATIVE":
            free = [p for p in chosen if p not in found and all(overlap(priors[p], row[3:7]) < 0.5 for row in objects)]
            number = int(options.get("neg_pos_ratio", 3) * len(found))
            chosen = set(found) | set(sorted(free, key=lambda p: -scores[p])[:number])
        elif mining == "HARD_EXAMPLE":
            chosen = set(sorted(chosen, key=lambda p: -scores[p] - offsets.get(p, 0))[: options["sample_size"]])
            chosen = chosen if objects else set()
        total += sum(scores[p] for p in chosen) + options["loc_weight"] * sum(offsets[p] for p in chosen & set(found))
        count += len(chosen & set(found))
    return total / max(1, count)


@settings(max_examples=60, deadline=None)
@given(
    st.integers(0, 2**32 - 1),
    st.fixed_dictionaries(
        {"loc_weight": st.sampled_from([1, 0.5]), "use_difficult_gt": st.sampled_from(["true", "false"])},
        optional={
            "loc_loss_type": st.sampled_from(["L2", "SMOOTH_L1"]),
            "match_type": st.sampled_from(["BIPARTITE", "PER_PREDICTION"]),
            "overlap_threshold": st.sampled_from([0.2, 0.35, 0.5]),
            "neg_pos_ratio": st.sampled_from([0.5, 1.5, 3]),
        },
    ),
    st.sampled_from(
        [
            {},
            {"mining_type": "NONE"},
            {"mining_type": "HARD_EXAMPLE", "sample_size": 2},
            {"mining_type": "HARD_EXAMPLE", "sample_size": 5},
        ]
    ),
)
def test_losses_equal_a_loop_over_priors(seed: int, options: dict[str, Any], mining: dict[str, Any]) -> None:
    values, options = inputs(seed), {"code_type": "CENTER_SIZE", **options, **mining}
    found = build(options).forward(**values)["loss"]
    np.testing.assert_allclose(found, loss(values, options), rtol=1e-9, atol=1e-12)


OVERLAPPING = {"code_type": "CENTER_SIZE", "overlap_threshold": 0.3}


def test_matches_are_found_anew_in_every_forward_pass() -> None:
    net, first, second = build(OVERLAPPING), inputs(1), inputs(2)
    expected = [float(build(OVERLAPPING).forward(**values)["loss"]) for values in (first, second)]
    assert [float(net.forward(**values)["loss"]) for values in (first, second)] == expected


def test_terms_without_gradient_are_left_out_of_the_loss() -> None:
    both, only_offsets, only_scores = (
        float(build(OVERLAPPING, "".join(f"propagate_down: {each} " for each in down)).forward(**inputs(1))["loss"])
        for down in (("true",) * 2 + ("false",) * 2, ("true",) + ("false",) * 3, ("false", "true", "false", "false"))
    )
    assert 0 < only_offsets < both
    assert only_offsets + only_scores == pytest.approx(both)


def test_agnostic_objects_are_all_of_the_class_after_the_background() -> None:
    values = inputs(1)
    single = {**values, "gt": values["gt"].copy()}
    single["gt"][..., 1] = 1
    assert (values["gt"][..., 1] == 2).any()
    agnostic = build({**OVERLAPPING, "map_object_to_agnostic": "true"}).forward(**values)["loss"]
    assert float(agnostic) == float(build(OVERLAPPING).forward(**single)["loss"])


def test_suppression_leaves_one_of_equal_negatives() -> None:
    values = inputs(0, objects=1)
    values["gt"][0, 0, 0] = [0, 1, 0, 0.0, 0.0, 0.1, 0.1, 0]
    boxes = values["pri"][0, 0].reshape(PRIORS, 4)
    boxes[0], boxes[1:] = [0, 0, 0.1, 0.1], [0.5, 0.5, 0.9, 0.9]
    values["conf"] = np.zeros_like(values["conf"])
    options = {"code_type": "CENTER_SIZE", "loc_weight": 0}
    suppressed = {**options, "nms_param": "{ nms_threshold: 0.5 }", "use_prior_for_nms": "true"}
    assert float(build(options, objects=1).forward(**values)["loss"]) == pytest.approx(4 * math.log(CLASSES))
    assert float(build(suppressed, objects=1).forward(**values)["loss"]) == pytest.approx(2 * math.log(CLASSES))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"do_neg_mining": "true", "mining_type": "NONE"}, "do_neg_mining contradicts"),
        ({"share_location": "false"}, "mining needs share_location"),
        ({"mining_type": "HARD_EXAMPLE", "sample_size": 0}, "sample_size must be positive"),
        ({"background_label_id": 3}, "background_label_id is no class"),
        ({"background_label_id": 2, "map_object_to_agnostic": "true"}, "needs a class after the background"),
        ({"num_classes": 4}, "bottom 'conf' does not fit"),
        ({"num_classes": 0}, "num_classes must be given"),
    ],
)
def test_contradictory_options_are_errors(options: dict[str, Any], message: str) -> None:
    with pytest.raises(CafxError, match=message):
        build(options)


@pytest.mark.parametrize(("column", "value"), [(0, IMAGES), (1, 0), (1, CLASSES), (1, -1)])
def test_an_object_of_no_image_or_class_is_an_error(column: int, value: int) -> None:
    values = inputs(1)
    values["gt"][0, 0, :, 0] = 0
    values["gt"][0, 0, 0, column] = value
    with pytest.raises(CafxError, match="of an object is not"):
        build(OVERLAPPING).forward(**values)


def test_do_neg_mining_false_stands_for_no_mining() -> None:
    old, new = ({**OVERLAPPING, name: value} for name, value in (("do_neg_mining", "false"), ("mining_type", "NONE")))
    values = inputs(3)
    assert float(build(old).forward(**values)["loss"]) == float(build(new).forward(**values)["loss"])
