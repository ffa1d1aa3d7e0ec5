"""Whole nets on the GPU as on the numpy engine: gradients, updates, a hundred iterations, resume, graphs."""

from __future__ import annotations

import tempfile
from typing import Any

import numpy as np
from engines import new_engine
from nets import Digits, feed, make_solver, parameters, text_of

from cafx.kernel import TEST, Net, Solver, schema

PASSES = 4
WITHIN_ROUNDING = 4
"""How many times the error of float32 on the numpy engine is allowed where it is the larger bound."""
SMALLEST = 1e-6
"""Part of the largest gradient's norm below which a gradient counts as zero."""
LOSS_BOUNDS = {"float32": 1e-4, "tf32": 1e-2, "bf16": 5e-2}
ACCURACY_BOUNDS = {"float32": 0.001, "tf32": 0.005, "bf16": 0.01}
Row = dict[str, Any]
Arrays = dict[str, np.ndarray]


def single_step(net: str, batch: int, engine: str, precision: str, tolerance: float) -> Row:
    """Gradients of four passes, and the parameters after an update, against float64 on the numpy engine.

    An error is relative to the norm of the parameter's gradient. Where it exceeds the tolerance, it
    may be as large as several times what float32 on the numpy engine shows. Only float32 is judged by
    it: of the other precisions the loss is, as random weights amplify rounding in deep nets.
    """
    text = text_of(net, batch, dropout=False)
    host = make_solver(text, "numpy", rate=0.01)
    exact = make_solver(text, "numpy", rate=0.01, dtype=np.float64)
    gpu = make_solver(text, new_engine(engine, precision), rate=0.01)
    start = {name: blob.host() for name, blob in parameters(host).items()}
    for solver in (host, exact, gpu):
        _set(solver, start)
        feed(solver, text.classes)
    before = _data(exact)
    expected = _gradients(exact)
    own = _errors(_gradients(host), expected)
    row: Row = {"loss": exact.net.loss, "problems": [], "errors": {"own": _summary(own)}}
    for number in range(PASSES):
        found = _errors(_gradients(gpu), expected)
        loss = abs(gpu.net.loss - exact.net.loss) / abs(exact.net.loss)
        row["errors"][f"pass {number}"] = _summary(found)
        if not loss <= LOSS_BOUNDS[precision]:
            row["problems"].append(f"pass {number}: loss {gpu.net.loss} instead of {exact.net.loss}")
        if precision == "float32":
            row["problems"] += _beyond(f"pass {number}", found, own, tolerance)
    for solver in (host, exact, gpu):
        _set(solver, start)  # forward passes have moved running statistics
        solver.step(1)
    changes = [{name: data - before[name] for name, data in _data(solver).items()} for solver in (host, exact, gpu)]
    own, found = _errors(changes[0], changes[1]), _errors(changes[2], changes[1])
    row["errors"] |= {"update": _summary(found), "own update": _summary(own)}
    if precision == "float32":
        row["problems"] += _beyond("update", found, own, tolerance)
    return row | {"refused": _refused(gpu), "ok": not row["problems"]}


def _set(solver: Solver, values: Arrays) -> None:
    for name, blob in parameters(solver).items():
        blob.set_data(values[name])


def _gradients(solver: Solver) -> Arrays:
    solver.net.clear_param_diffs()
    solver.net.run_forward()
    solver.net.run_backward()
    return {name: blob.host_diff().astype(np.float64) for name, blob in parameters(solver).items()}


def _data(solver: Solver) -> Arrays:
    return {name: blob.host().astype(np.float64) for name, blob in parameters(solver).items()}


def _errors(found: Arrays, expected: Arrays) -> dict[str, float]:
    """Norm of the difference by norm of the expected values, of those that are not about zero."""
    norms = {name: float(np.linalg.norm(each)) for name, each in expected.items()}
    least = SMALLEST * max(norms.values())
    return {
        name: float(np.linalg.norm(found[name] - each)) / norms[name]
        for name, each in expected.items()
        if norms[name] > least
    }


def _beyond(what: str, found: dict[str, float], own: dict[str, float], tolerance: float) -> list[str]:
    allowed = {name: max(tolerance, WITHIN_ROUNDING * own[name]) for name in found}
    wrong = [name for name in found if not found[name] <= allowed[name]]
    return [f"{what}: {name}: error {found[name]:.2e}, allowed {allowed[name]:.2e}" for name in wrong[:5]]


def _summary(errors: dict[str, float]) -> Row:
    worst = max(errors, key=lambda name: errors[name])
    return {"median": float(np.median(list(errors.values()))), "worst": errors[worst], "where": worst}


def _refused(solver: Solver) -> dict[str, str]:
    program: Any = solver.net.program
    return {step.name: str(why) for step, why in program.recorder.refused.items()}


def lenet_iterations(engine: str, precision: str, iterations: int = 100, batch: int = 64, tests: int = 10000) -> Row:
    """LeNet trained on digits beside the numpy engine: the losses, and the accuracy after the last iteration."""
    text = text_of("lenet", batch)
    solvers = {"numpy": make_solver(text, "numpy", rate=0.01)}
    solvers["gpu"] = make_solver(text, new_engine(engine, precision), rate=0.01)
    for name, blob in parameters(solvers["numpy"]).items():
        parameters(solvers["gpu"])[name].set_data(blob.host())
    train, test = Digits("train", max(batch, min(6400, iterations * batch))), Digits("t10k", tests)
    losses: dict[str, list[float]] = {name: [] for name in solvers}
    for _, (images, labels) in zip(range(iterations), train.batches(batch), strict=False):
        for name, solver in solvers.items():
            solver.net.blobs["data"].set_data(images)
            solver.net.blobs["label"].set_data(labels)
            losses[name].append(solver.step(1))
    accuracies = {name: _accuracy(solver, text, test, batch) for name, solver in solvers.items()}
    apart = max(abs(one - two) for one, two in zip(losses["numpy"], losses["gpu"], strict=True))
    bound = 20 * LOSS_BOUNDS[precision] * losses["numpy"][0]
    near = abs(accuracies["gpu"] - accuracies["numpy"]) <= ACCURACY_BOUNDS[precision]
    row: Row = {
        "losses apart by at most": apart,
        "allowed": bound,
        "last losses": [each[-1] for each in losses.values()],
    }
    return row | {"accuracies": accuracies, "refused": _refused(solvers["gpu"]), "ok": apart <= bound and near}


def _accuracy(solver: Solver, text: Any, digits: Digits, batch: int) -> float:
    """The part of the digits whose score is the largest."""
    lines = [line for line in text.lines if "SoftmaxWithLoss" not in line]
    proto = schema().parse_text("\n".join(lines), "NetParameter")
    net = Net(proto, TEST, engine=solver.net.engine, share=solver.net, keep="outputs")
    right = count = 0
    for _, (images, labels) in zip(range(len(digits.images) // batch), digits.batches(batch), strict=False):
        scores = net.forward(data=images)["ip2"]
        right += int((scores.reshape(batch, -1).argmax(axis=1) == labels).sum())
        count += batch
    return right / count


def resume(engine: str, precision: str) -> Row:
    """A run resumed from a snapshot is bit-identical to the uninterrupted one, dropout included."""
    text = _lenet_with_dropout()
    with tempfile.TemporaryDirectory() as folder:
        first, second = (
            make_solver(text, new_engine(engine, precision, deterministic=True), rate=0.01, prefix=f"{folder}/s")
            for _ in range(2)
        )
        for solver in (first, second):
            feed(solver, text.classes)
        for _ in range(5):
            first.step(1)
        _, state = first.snapshot()
        expected = [first.step(1) for _ in range(5)]
        second.restore(state)
        found = [second.step(1) for _ in range(5)]
    return {"losses": expected, "resumed": found, **_identical(first, second, expected == found)}


def graphs_change_nothing(engine: str, precision: str) -> Row:
    """Losses and parameters are the same bits with CUDA graphs and without."""
    text = _lenet_with_dropout()
    solvers = [
        make_solver(text, new_engine(engine, precision, deterministic=True, recording=recording), rate=0.01)
        for recording in (True, False)
    ]
    for solver in solvers:
        feed(solver, text.classes)
    recorded, eager = ([solver.step(1) for _ in range(8)] for solver in solvers)
    programs: list[Any] = [solver.net.program for solver in solvers]
    row = {"losses": recorded, "eager": eager, "graphs": [program.graphs for program in programs]}
    same = _identical(*solvers, recorded == eager)
    return row | same | {"ok": same["ok"] and programs[0].graphs > 0 and not programs[1].graphs}


def _lenet_with_dropout() -> Any:
    text = text_of("lenet", 16)
    at = next(index for index, line in enumerate(text.lines) if 'name: "ip2"' in line)
    last = text.lines[at:]
    del text.lines[at:]
    text.drop("ip1", 0.5)
    text.lines += last
    return text


def _identical(one: Solver, two: Solver, same_losses: bool) -> Row:
    others = parameters(two)
    different = [name for name, blob in parameters(one).items() if not np.array_equal(blob.host(), others[name].host())]
    return {"different": different, "ok": same_losses and not different}
