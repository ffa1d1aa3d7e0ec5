"""The stand-in for cuDNN's frontend computes convolutions and what follows them, and refuses misuse."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from cafx.conformance.cuda import cudnn_convolution
from cafx.conformance.cuda.cudnn_bench import Bench, Problem, W, X, Y, bench
from cafx.conformance.cuda.cudnn_convolution import Window
from cafx.conformance.cuda.errors import CUDARuntimeError
from cafx.conformance.cuda.library_memory import from_bfloat16, to_bfloat16

TOLERANCE = 1e-5
BFLOAT16_TOLERANCE = 2.0**-7
EXAMPLES = 200
B, Z = 4, 5


@pytest.fixture(name="device")
def fresh_device() -> Iterator[Bench]:
    with bench() as made:
        yield made


def host(array: Any) -> Any:
    """An array's values as float64."""
    found = array.get()
    return (from_bfloat16(found) if found.dtype == np.uint16 else found).astype(np.float64)


@st.composite
def problems(draw: st.DrawFn) -> Problem:
    """Convolutions of all kinds."""

    def pair(low: int, high: int) -> tuple[int, int]:
        return draw(st.integers(low, high)), draw(st.integers(low, high))

    before = pair(0, 2)
    window = Window(before, draw(st.sampled_from([before, (0, 1), (2, 0)])), pair(1, 3), pair(1, 2))
    one_to_two = st.integers(1, 2)
    problem = Problem(
        *(draw(one_to_two), draw(st.integers(1, 3)), draw(one_to_two), draw(one_to_two), pair(1, 6), pair(1, 3)),
        *(window, draw(st.booleans()), pair(0, 5), draw(st.sampled_from([0, 4]))),
    )
    assume(min(problem.shapes[Y]) > 0)
    return problem


@pytest.mark.slow
@settings(max_examples=EXAMPLES, deadline=None)
@given(problems(), st.sampled_from([X, W, Y]), st.integers(0, 2))
def test_a_convolution_and_its_gradients_equal_their_definition(problem: Problem, made: int, index: int) -> None:
    with bench() as device:
        flat = {uid: device.floats(problem.flat(uid)) for uid in (X, W, Y)}
        before = {uid: array.get() for uid, array in flat.items()}
        graph, output = problem.graph(device, made)
        problem.store(output, made)
        device.run(graph, {uid: array[problem.skip :] for uid, array in flat.items()}, index)
        expected = before[made].astype(np.float64)
        values = [problem.view(before[uid], uid).astype(np.float64) for uid in (X, W, Y)]
        problem.view(expected, made)[...] = problem.direct(made, *values)
        np.testing.assert_allclose(flat[made].get(), expected, rtol=TOLERANCE, atol=TOLERANCE)
        for uid in {X, W, Y} - {made}:
            np.testing.assert_array_equal(flat[uid].get(), before[uid])


@pytest.mark.parametrize("made", [W, Y])
def test_a_batch_may_be_computed_in_parts(device: Bench, monkeypatch: pytest.MonkeyPatch, made: int) -> None:
    graph, pack, _ = convolution(device, made=made)
    device.run(graph, pack)
    whole = pack[made].get()
    monkeypatch.setattr(cudnn_convolution, "BUFFER_VALUES", 1)
    device.execute(graph, pack)
    np.testing.assert_allclose(pack[made].get(), whole, rtol=TOLERANCE, atol=TOLERANCE)


@pytest.mark.parametrize("made", [X, W, Y])
def test_bfloat16_is_computed_in_float32_and_rounded(device: Bench, made: int) -> None:
    problem = Problem(filters=4)
    flat = {uid: device.cupy.asarray(to_bfloat16(device.floats(problem.flat(uid)).get())) for uid in (X, W, Y)}
    values = [problem.view(host(flat[uid]), uid) for uid in (X, W, Y)]
    graph, output = problem.graph(device, made, "BFLOAT16")
    problem.store(output, made)
    device.run(graph, flat)
    expected = from_bfloat16(to_bfloat16(problem.direct(made, *values)))
    np.testing.assert_allclose(problem.view(host(flat[made]), made), expected, rtol=BFLOAT16_TOLERANCE, atol=1e-6)


def fused(device: Bench, *, keep: bool) -> tuple[Any, dict[int, Any], Any]:
    """A convolution with bias and ReLU, whose sum may be stored too; the memory; the sum's values by definition."""
    problem = Problem()
    graph, convolved = problem.graph(device, Y)
    tensor = graph.tensor(dim=[1, 2, 1, 1], stride=[2, 1, 2, 2], uid=B)
    summed = graph.bias(input=convolved, bias=tensor) if keep else graph.add(a=convolved, b=tensor)
    pack = {uid: device.floats(problem.flat(uid)) for uid in (X, W, Y)} | {B: device.floats(2)}
    if keep:
        problem.store(summed, Y).set_uid(Z)
        pack[Z] = device.floats(problem.flat(Y))
    problem.store(graph.relu(input=summed, negative_slope=0.25, upper_clip=1.0), Y)
    x, w = (problem.view(host(pack[uid]), uid) for uid in (X, W))
    return graph, pack, problem.direct(Y, x, w, None) + host(pack[B]).reshape(1, 2, 1, 1)


@pytest.mark.parametrize("keep", [False, True])
def test_an_epilogue_adds_a_bias_and_clips(device: Bench, keep: bool) -> None:
    graph, pack, summed = fused(device, keep=keep)
    device.run(graph, pack)
    clipped = np.where(summed > 0, np.minimum(summed, 1), summed / 4)
    np.testing.assert_allclose(Problem().view(host(pack[Y]), Y), clipped, rtol=TOLERANCE, atol=TOLERANCE)
    if keep:
        np.testing.assert_allclose(Problem().view(host(pack[Z]), Y), summed, rtol=TOLERANCE, atol=TOLERANCE)
    name = "conv_fprop+bias+relu" if keep else "conv_fprop+add+relu"
    assert device.runtime.library_calls == [(name, "eng1_k2=3")]


def test_a_value_within_a_graph_is_rounded_to_its_type(device: Bench) -> None:
    graph, convolved = Problem().graph(device, Y)
    convolved.set_data_type(device.cudnn.data_type.BFLOAT16)
    Problem().store(graph.relu(input=convolved, lower_clip=-1e9), Y)
    pack = {uid: device.floats(Problem().flat(uid)) for uid in (X, W, Y)}
    device.run(graph, pack)
    found = pack[Y].get()
    np.testing.assert_array_equal(from_bfloat16(to_bfloat16(found)), found)


def test_results_of_one_graph_lie_apart(device: Bench) -> None:
    graph, pack, _ = fused(device, keep=True)
    device.plan(graph).build_plans()
    pack[Z] = pack[Y]
    with pytest.raises(AssertionError, match="overlaps"):
        device.execute(graph, pack)


def test_a_gradient_passes_relu_where_its_input_was_positive(device: Bench) -> None:
    graph, pack = device.graph(), {uid: device.floats(24) for uid in (X, Y, Z)}
    loss, value = (graph.tensor(dim=[2, 3, 2, 2], stride=[12, 1, 6, 3], uid=uid) for uid in (X, Y))
    graph.relu_backward(loss=loss, input=value, negative_slope=0.5).set_output(True).set_uid(Z)
    device.run(graph, pack)
    dy, x = host(pack[X]), host(pack[Y])
    np.testing.assert_allclose(host(pack[Z]), np.where(x > 0, dy, dy / 2), rtol=TOLERANCE)


def test_matrices_are_multiplied_and_axes_reduced(device: Bench) -> None:
    graph, pack = device.graph(), {X: device.floats(12), W: device.floats(40), Y: device.floats(30)}
    a = graph.tensor(dim=[2, 3, 2], stride=[6, 1, 3], uid=X)
    b = graph.tensor(dim=[2, 2, 5], stride=[20, 10, 2], uid=W)
    graph.matmul(A=a, B=b).set_output(True).set_uid(Y)
    device.run(graph, pack)
    left = host(pack[X]).reshape(2, 2, 3).transpose(0, 2, 1)
    right = host(pack[W]).reshape(2, 2, 10)[..., ::2]
    np.testing.assert_allclose(host(pack[Y]).reshape(2, 3, 5), left @ right, rtol=TOLERANCE, atol=TOLERANCE)
    graph, pack = device.graph(), {X: device.floats(24), Y: device.floats(3)}
    x = graph.tensor(dim=[2, 3, 2, 2], stride=[12, 1, 6, 3], uid=X)
    total = graph.reduction(input=x, mode=device.cudnn.reduction_mode.ADD)
    total.set_output(True).set_uid(Y).set_dim([1, 3, 1, 1])
    device.run(graph, pack)
    np.testing.assert_allclose(host(pack[Y]), host(pack[X]).reshape(8, 3).sum(0), rtol=TOLERANCE, atol=TOLERANCE)


# plans


def convolution(device: Bench, problem: Problem | None = None, made: int = Y) -> tuple[Any, dict[int, Any], Any]:
    """A graph, memory for it, and its output."""
    problem = problem or Problem()
    graph, output = problem.graph(device, made)
    problem.store(output, made)
    return graph, {uid: device.floats(problem.flat(uid)) for uid in (X, W, Y)}, output


def test_deselected_plans_keep_their_index_and_are_not_built(device: Bench) -> None:
    graph = device.plan(convolution(device)[0])
    note, unsupported = device.cudnn.numerical_note, device.cudnn.cudnnGraphNotSupportedError
    assert [graph.get_plan_name_at_index(i) for i in range(3)] == ["eng1_k2=3", "eng0_k4=1", "eng6_k5=2"]
    graph.deselect_numeric_notes([note.TENSOR_CORE, note.NONDETERMINISTIC])
    assert graph.get_execution_plan_count() == 3
    for index in (0, 2):
        with pytest.raises(unsupported, match="Deselecting"):
            graph.build_plan_at_index(index)
    graph.build_plans()
    assert graph.get_workspace_size() == graph.get_workspace_size_plan_at_index(1) > 0
    with pytest.raises(RuntimeError, match="did not build"):
        graph.get_workspace_size_plan_at_index(0)
    graph.select_numeric_notes([note.TENSOR_CORE])
    with pytest.raises(unsupported, match="No execution plans"):
        graph.check_support()


def test_a_float_weight_gradient_of_bfloat16_has_one_plan(device: Bench) -> None:
    graph, output = Problem().graph(device, W, "BFLOAT16")
    Problem().store(output, W).set_data_type(device.cudnn.data_type.FLOAT)
    device.plan(graph)
    assert [graph.get_plan_name_at_index(i) for i in range(graph.get_execution_plan_count())] == ["eng70"]


def test_a_plan_overwrites_its_workspace(device: Bench) -> None:
    graph, pack, _ = convolution(device)
    device.run(graph, pack, 2)
    size = graph.get_workspace_size_plan_at_index(2)
    assert (device.workspace.get()[:size] != 0).all()
    assert not device.workspace.get()[size:].any()


def test_a_serialized_plan_computes_the_same_under_index_0(device: Bench) -> None:
    graph, pack, _ = fused(device, keep=False)
    device.run(graph, pack, 1)
    data, first = graph.serialize(), pack[Y].get()
    pack[Y][...] = 0
    restored = device.graph()
    restored.deserialize(device.handle, data)
    assert (restored.get_execution_plan_count(), restored.get_workspace_size()) == (1, graph.get_workspace_size())
    device.execute(restored, pack, 0)
    np.testing.assert_array_equal(pack[Y].get(), first)
    assert device.runtime.library_calls[0] == device.runtime.library_calls[1]
    for damaged in ([*data[:-9], data[-9] ^ 1, *data[-8:]], data[:20], [], bytes(data)):
        with pytest.raises(RuntimeError):
            device.graph().deserialize(device.handle, damaged)


def test_a_plan_is_captured_once_it_has_run(device: Bench) -> None:
    graph, pack, _ = convolution(device)
    device.plan(graph).build_plan_at_index(0)
    device.stream.begin_capture()
    with pytest.raises(CUDARuntimeError):
        device.execute(graph, pack)
    with pytest.raises(CUDARuntimeError):
        device.stream.end_capture()
    device.execute(graph, pack)
    once = pack[Y].get()
    device.stream.begin_capture()
    device.execute(graph, pack)
    recorded = device.stream.end_capture()
    pack[X][...] = 2 * pack[X]
    np.testing.assert_array_equal(pack[Y].get(), once)
    recorded.launch(device.stream)
    np.testing.assert_allclose(pack[Y].get(), 2 * once, rtol=TOLERANCE)
    del pack[W]
    with pytest.raises(AssertionError, match="freed"):
        recorded.launch(device.stream)


# refusals


def refused_graphs() -> dict[str, tuple[type[Exception] | str, Callable[[Bench, Any, Any], Any]]]:
    """By name: the error, and what is done to a graph and its output before its plans are asked for."""
    unsupported = "cudnnGraphNotSupportedError"

    def second(device: Bench, graph: Any, output: Any) -> None:
        weight = graph.tensor(dim=[2, 2, 1, 1], stride=[2, 1, 2, 2], uid=B)
        output.set_is_virtual(True)
        options = {"padding": [0, 0], "stride": [1, 1], "dilation": [1, 1]}
        graph.conv_fprop(image=output, weight=weight, **options).set_output(True).set_uid(Z)

    def bias(device: Bench, graph: Any, output: Any) -> None:
        tensor = graph.tensor(dim=[1, 3, 1, 1], stride=[3, 1, 3, 3], uid=B)
        graph.bias(input=output, bias=tensor).set_output(True).set_uid(Z).set_dim(output.get_dim())

    return {
        "wrong dims": (RuntimeError, lambda _, __, output: output.set_dim([2, 2, 3, 3])),
        "the uid of another": (RuntimeError, lambda _, __, output: output.set_uid(X)),
        "no uid": (RuntimeError, lambda _, __, output: setattr(output, "uid", None)),
        "a stride missing": (ValueError, lambda _, __, output: output.set_stride([1, 1, 1])),
        "no layout": (unsupported, lambda _, __, output: output.set_stride([40, 2, 8, 4])),
        "overlapping pixels": (unsupported, lambda _, __, output: output.set_stride([24, 1, 8, 1])),
        "mixed layouts": (unsupported, lambda _, __, output: output.set_stride([24, 12, 4, 1])),
        "half": (unsupported, lambda d, _, output: output.set_data_type(d.cudnn.data_type.HALF)),
        "two convolutions": (unsupported, second),
        "a bias that does not fit": (ValueError, bias),
    }


@pytest.mark.parametrize("name", sorted(refused_graphs()))
def test_graphs_that_cudnn_refuses_are_refused(device: Bench, name: str) -> None:
    error, change = refused_graphs()[name]
    graph, _, output = convolution(device)
    change(device, graph, output)
    kind = getattr(device.cudnn, error) if isinstance(error, str) else error
    with pytest.raises(kind) as caught:
        device.plan(graph)
    assert type(caught.value) is kind


@pytest.mark.parametrize("made", [X, W])
def test_dims_of_a_gradient_must_be_set(device: Bench, made: int) -> None:
    graph, output = Problem().graph(device, made)
    output.set_output(True).set_uid(made)
    with pytest.raises(ValueError, match=r"not possible|dims not set"):
        graph.validate()


def test_dims_and_strides_of_a_result_are_inferred(device: Bench) -> None:
    graph, output = Problem().graph(device, Y)
    output.set_output(True).set_uid(Y)
    graph.validate()
    assert (output.get_dim(), output.get_stride()) == (Problem().shapes[Y], Problem().strides(Y))


def test_calls_come_in_their_order(device: Bench) -> None:
    graph, pack, _ = convolution(device)
    with pytest.raises(AssertionError, match="validate"):
        graph.build_operation_graph()
    graph.validate()
    with pytest.raises(device.cudnn.cudnnGraphNotSupportedError, match="Empty operation graph"):
        graph.create_execution_plans([device.cudnn.heur_mode.A])
    with pytest.raises(AssertionError, match="before create_execution_plans"):
        graph.deselect_numeric_notes([device.cudnn.numerical_note.FFT])
    with pytest.raises(RuntimeError, match="Plan index 0 is invalid"):
        graph.build_plan_at_index(0)
    device.plan(graph)
    with pytest.raises(RuntimeError, match="did not build"):
        device.execute(graph, pack)
    with pytest.raises(AssertionError, match="without a built plan"):
        graph.serialize()


def refused_runs() -> dict[str, tuple[type[Exception], str, Callable[[Bench, dict[int, Any]], Any]]]:
    """By name: the error, its text, and what is done to the device and the memory before a plan runs."""

    def other_stream(device: Bench, _: Any) -> None:
        device.cupy.cuda.Stream(non_blocking=True).use()

    def fresh_handle(device: Bench, _: Any) -> None:
        device.handle = device.cudnn.create_handle()

    def small_workspace(device: Bench, _: Any) -> None:
        device.workspace = device.cupy.zeros(64, np.uint8)

    def workspace_in_use(device: Bench, pack: Any) -> None:
        pack[Y] = device.workspace

    return {
        "a tensor missing": (ValueError, "Uid 2 not found", lambda _, pack: pack.pop(W)),
        "a tensor too many": (AssertionError, "unknown uids", lambda _, pack: pack.update({9: pack[X]})),
        "unaligned": (AssertionError, "multiple of 16", lambda d, pack: pack.update({X: d.floats(900)[1:]})),
        "too short": (AssertionError, "not inside live", lambda d, pack: pack.update({Y: pack[Y][4:]})),
        "output over input": (AssertionError, "overlaps", lambda _, pack: pack.update({Y: pack[X]})),
        "another stream": (AssertionError, "not the current stream", other_stream),
        "no stream": (AssertionError, "no stream", fresh_handle),
        "a destroyed handle": (AssertionError, "destroyed", lambda d, _: d.cudnn.destroy_handle(d.handle)),
        "small workspace": (AssertionError, "not inside live", small_workspace),
        "workspace in use": (AssertionError, "overlaps", workspace_in_use),
    }


@pytest.mark.parametrize("name", sorted(refused_runs()))
def test_runs_that_would_go_wrong_are_refused(device: Bench, name: str) -> None:
    error, text, change = refused_runs()[name]
    graph, pack, _ = convolution(device)
    device.plan(graph).build_plan_at_index(2)
    change(device, pack)
    with pytest.raises(error, match=text):
        device.execute(graph, pack, 2)
    assert device.runtime.library_calls == []


def test_an_address_is_a_plain_int(device: Bench) -> None:
    graph, pack, _ = convolution(device)
    device.run(graph, pack)
    with pytest.raises(ValueError, match="__dlpack__"):
        graph.execute({uid: np.int64(array.data.ptr) for uid, array in pack.items()}, 0)
