"""Plans are found once, kept on disk, found again where they cannot be used, and follow the rules."""

import numpy as np
import pytest

from cafx.kernel import TRAIN, Net, schema

NET = """
layer { name: "x" type: "Input" top: "x" input_param { shape { dim: 2 dim: 3 dim: 6 dim: 6 } } }
layer { name: "conv" type: "Convolution" bottom: "x" top: "y"
  convolution_param { num_output: 4 kernel_size: 3 weight_filler { type: "xavier" } } }
layer { name: "relu" type: "ReLU" bottom: "y" top: "y" }
"""
PRODUCTS = ("forward", "data", "weights")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """The folder of the plans; nothing is kept elsewhere."""
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "cache"))
    monkeypatch.delenv("CAFX_DETERMINISTIC", raising=False)
    return tmp_path / "cache" / "cudnn"


@pytest.fixture
def built(cuda, monkeypatch):
    """The names of the plans that are built, in order."""
    import cudnn

    names, build = [], cudnn.pygraph.build_plan_at_index

    def counted(graph, index):
        build(graph, index)
        names.append(graph.get_plan_name_at_index(index))

    monkeypatch.setattr(cudnn.pygraph, "build_plan_at_index", counted)
    return names


def run(engine):
    """The result and the gradients of two forward and backward passes."""
    text = schema().parse_text(NET + "force_backward: true", "NetParameter")
    net = Net(text, TRAIN, engine=engine, seed=1)
    for _ in range(2):
        net.blobs["x"].set_data(np.linspace(-1, 1, 216).reshape(2, 3, 6, 6))
        net.clear_param_diffs()
        net.run_forward()
        net.backward(y=np.ones((2, 4, 4, 4)))
    return [net.blobs["y"].host(), net.blobs["x"].host_diff(), *(blob.host_diff() for blob in net.params["conv"])]


def assert_as_on_the_host(results):
    for found, expected in zip(results, run("numpy"), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-3, atol=1e-4)


def entries(folder):
    return sorted(folder.iterdir()) if folder.exists() else []


def test_a_plan_is_chosen_once(make_engine, built, folder):
    engine = make_engine()
    run(engine)
    known = list(built)
    assert len(known) > len(entries(folder)) >= len(PRODUCTS)
    assert_as_on_the_host(run(engine))
    assert built == known


def test_another_engine_loads_plans_from_disk(make_engine, built, folder):
    first = run(make_engine())
    built.clear()
    second = run(make_engine())
    assert built == []
    for one, two in zip(first, second, strict=True):
        np.testing.assert_array_equal(one, two)


@pytest.mark.parametrize("damage", ["flipped", "cut", "another", "code"])
def test_an_entry_that_cannot_be_used_is_made_anew(damage, make_engine, built, folder):
    run(make_engine())
    intact = {path.name: path.read_bytes() for path in entries(folder)}
    for path in entries(folder):
        content = path.read_bytes()
        others = [each for name, each in intact.items() if name != path.name]
        if damage == "code":
            from cafx_lib_cache import Cache

            Cache(folder).put(path.name, b'{"workspace": 0, "milliseconds": 1, "name": "eng"}\nno plan')
            continue
        changed = {"flipped": content[:-1] + bytes([content[-1] ^ 1]), "cut": content[:50], "another": others[0]}
        path.write_bytes(changed[damage])
    built.clear()
    assert_as_on_the_host(run(make_engine()))
    assert built
    built.clear()
    run(make_engine())
    assert built == []
    assert {path.name for path in entries(folder)} == set(intact)


@pytest.mark.slow
def test_an_empty_setting_disables_the_cache(make_engine, built, tmp_path, monkeypatch):
    monkeypatch.setenv("CAFX_CACHE", "")
    monkeypatch.setenv("HOME", str(tmp_path))
    run(make_engine())
    known = len(built)
    run(make_engine())
    assert len(built) == 2 * known
    assert not list(tmp_path.rglob("cudnn"))


def test_precisions_and_rules_share_no_plan(make_engine, folder, monkeypatch):
    counts = []
    for precision, deterministic in (("float32", "0"), ("float32", "1"), ("tf32", "0"), ("bf16", "0"), ("tf32", "0")):
        monkeypatch.setenv("CAFX_DETERMINISTIC", deterministic)
        run(make_engine(precision=precision))
        counts.append(len(entries(folder)))
    each = counts[0]
    assert counts == [each, 2 * each, 3 * each, 4 * each, 4 * each]


@pytest.mark.parametrize(
    ("precision", "deterministic", "expected"),
    [
        ("float32", "0", {"eng0_k4=1", "eng6_k5=2"}),
        ("float32", "1", {"eng0_k4=1"}),
        ("tf32", "0", {"eng0_k4=1", "eng1_k2=3", "eng6_k5=2"}),
        ("tf32", "1", {"eng0_k4=1", "eng1_k2=3"}),
        ("bf16", "", {"eng0_k4=1", "eng1_k2=3", "eng6_k5=2"}),
    ],
)
def test_rules_leave_plans_out(precision, deterministic, expected, make_engine, built, monkeypatch):
    """The stand-in's plans: one on tensor cores (eng1), a plain one (eng0), one that is not deterministic (eng6)."""
    monkeypatch.setenv("CAFX_DETERMINISTIC", deterministic)
    run(make_engine(precision=precision))
    assert set(built) == expected


def test_strict_plans_neither_transform_nor_round(make_engine):
    import cudnn

    notes = cudnn.numerical_note
    refused = make_engine().plans._rules.refused()
    assert {notes.TENSOR_CORE, notes.FFT, notes.WINOGRAD, notes.DOWN_CONVERT_INPUTS} <= set(refused)
    assert not make_engine(precision="tf32").plans._rules.refused()


@pytest.mark.parametrize("missing", ["conv_fprop", "conv_dgrad", "conv_wgrad"])
def test_a_layer_without_a_plan_runs_as_it_is_written(missing, make_engine, cuda, monkeypatch):
    import cudnn

    create = cudnn.pygraph.create_execution_plans

    def refuse_one(graph, modes):
        if graph.nodes[0].operation == missing:
            raise cudnn.cudnnGraphNotSupportedError("no engine for this")
        create(graph, modes)

    monkeypatch.setattr(cudnn.pygraph, "create_execution_plans", refuse_one)
    assert_as_on_the_host(run(make_engine()))


def test_a_layer_whose_plans_all_fail_when_built_runs_as_it_is_written(make_engine, cuda, monkeypatch):
    import cudnn

    def refuse(graph, index):
        raise cudnn.cudnnGraphNotSupportedError("built, and refused")

    monkeypatch.setattr(cudnn.pygraph, "build_plan_at_index", refuse)
    assert_as_on_the_host(run(make_engine()))
