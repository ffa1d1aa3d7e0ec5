"""Options that a solver type or a policy of a third party declares for itself."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from cafx.dsl import NetSpec, SolverSpec
from cafx.dsl import layers as L
from cafx.kernel import CafxError, Solver, schema
from cafx.kernel.registry import Registry, installed, using_registry

NEEDED = {
    "Parameter", "DummyData", "EuclideanLoss", "constant", "numpy", "fixed", "SGD", "split", "advice", "hints",
    "warmup", "Damped", "Soft",
}  # fmt: skip
POLICY = '''
from cafx.conformance.kinds.policy import PolicyCase
from cafx.kernel import Message, Policy, at_least, message, option

@message("warmup_param", of="SolverParameter")
class WarmupParameter(Message):
    """Options of warmup."""
    warmup: int = option(1, "int32", 100, doc="iterations until base_lr is reached", check=at_least(1))

class Warmup(Policy):
    """rate = base_lr · min(1, (iteration + 1) / warmup)."""
    Parameter = WarmupParameter

    def rate(self, iteration):
        return self.options.base_lr * min(1, (iteration + 1) / self.own.warmup)

    @classmethod
    def cases(cls):
        yield PolicyCase("four", {"base_lr": 2.0, "warmup_param": {"warmup": 4}}, rates={0: 0.5, 3: 2.0, 9: 2.0})
        yield PolicyCase("refused", {"warmup_param": {"warmup": 0}}, error="warmup")
'''
SOLVER = '''
from cafx.kernel import Message, UpdateRule, message, option

@message("damped_param", NUMBER, of="SolverParameter")
class DampedParameter(Message):
    """Options of Damped."""
    damping: float = option(1, "float", 0.5, doc="factor of the update")

class Damped(UpdateRule):
    """W ← W − damping · rate · ∇W."""
    Parameter = DampedParameter
    slots = 0

    def update(self, diff, history, rate, iteration):
        diff *= self.own.damping * rate
'''


@pytest.fixture
def install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Install a plugin in a folder of its own; the registry is that of a new process."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("CAFX_CACHE", str(tmp_path / "cache"))

    def write(kind: str, name: str, text: str, group: str) -> None:
        module = f"cafx_{kind}_{name.lower()}"
        monkeypatch.delitem(sys.modules, module, raising=False)
        info = tmp_path / f"{module}-1.0.dist-info"
        info.mkdir()
        distribution = module.replace("_", "-")
        (info / "METADATA").write_text(
            f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.0\nRequires-Dist: cafx-kernel>=0.1,<0.2\n"
        )
        target = name[0].upper() + name[1:]
        (info / "entry_points.txt").write_text(f"[{group}]\n{name} = {module}:{target}\n")
        (tmp_path / f"{module}.py").write_text(text, "utf-8")

    return write


@pytest.fixture
def plugins(install: Callable[..., None]) -> Iterator[Registry]:
    install("policy", "warmup", POLICY, "cafx.policies")
    install("solver", "Damped", SOLVER.replace("NUMBER, ", ""), "cafx.solvers")
    fresh = few()
    with using_registry(fresh):
        yield fresh


def few() -> Registry:
    """What is installed of the plugins that these tests need, and the new ones: composing all takes seconds."""
    return Registry([point for point in installed() if point.name in NEEDED])


def net() -> NetSpec:
    n = NetSpec("tiny")
    n.w = L.Parameter(shape=[1, 1])
    n.t = L.DummyData(shape=[1, 1], data_filler={"value": 4})
    n.loss = L.EuclideanLoss(n.w, n.t)
    return n


@pytest.mark.usefixtures("plugins")
def test_they_are_keywords_or_grouped() -> None:
    flat = SolverSpec(warmup=4, lr_policy="warmup", damping=0.25, type="Damped", base_lr=1)
    grouped = SolverSpec(lr_policy="warmup", warmup_param={"warmup": 4}, type="Damped", damped_param={"damping": 0.25})
    grouped.base_lr = 1
    assert flat.to_proto() == grouped.to_proto()
    assert flat.to_proto().warmup_param.warmup == 4
    assert (flat.warmup, SolverSpec(lr_policy="warmup").warmup) == (4, 100)
    assert schema().parse_text(flat.to_text(), "SolverParameter") == flat.to_proto()
    assert {"warmup", "damped_param", "base_lr"} <= set(dir(flat))
    flat.warmup = None
    assert not flat.to_proto().HasField("warmup_param")


@pytest.mark.usefixtures("plugins")
def test_a_solver_trains_with_them() -> None:
    spec = SolverSpec(net=net(), base_lr=1, lr_policy="warmup", warmup=2, type="Damped", damping=0.25, max_iter=2)
    with Solver(spec, engine="numpy") as solver:
        solver.step(2)
        assert solver.rate == 1.0
        assert solver.net.params["w"][0].data.item() == 0.5 * 0.25 * 4 + 0.25 * (4 - 0.5)


@pytest.mark.usefixtures("plugins")
@pytest.mark.parametrize(
    ("call", "told"),
    [
        (lambda: SolverSpec(lr_policy="warmup", warmup=0), "warmup=0 is not valid: expected at least 1"),
        (lambda: SolverSpec(lr_policy="warmup", warmpu=3), "unknown option 'warmpu'.*did you mean 'warmup'"),
        (lambda: SolverSpec(lr_policy="warmup", warmup_param={"warm": 3}), "unknown option 'warm' of WarmupParameter"),
        (lambda: SolverSpec(lr_policy="fixed", warmup=3), "option of cafx-policy-warmup: set type or lr_policy before"),
    ],
)
def test_errors_name_the_line(call: Callable[[], object], told: str) -> None:
    line = call.__code__.co_firstlineno  # type: ignore[attr-defined]
    with pytest.raises(CafxError, match=rf"test_own_options\.py:{line}: SolverSpec: .*{told}"):
        call()


@pytest.mark.usefixtures("plugins")
def test_an_option_of_a_policy_that_was_replaced_is_refused() -> None:
    spec = SolverSpec(lr_policy="warmup", warmup=3)
    spec.lr_policy = "fixed"
    with pytest.raises(CafxError, match=r"test_own_options\.py:\d+: SolverSpec: unknown option 'warmup'"):
        spec.to_proto()


@pytest.mark.usefixtures("plugins")
def test_a_prototxt_with_an_invalid_value_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "solver.prototxt"
    path.write_text('lr_policy: "warmup" warmup_param { warmup: 0 } net_param { }')
    with pytest.raises(CafxError, match=r"solver\.prototxt: warmup=0 is not valid: expected at least 1"):
        Solver.load(path)


def test_a_clash_names_both_distributions(install: Callable[..., None]) -> None:
    install("solver", "Damped", SOLVER.replace("NUMBER", "123456"), "cafx.solvers")
    other = SOLVER.replace("NUMBER", "123456").replace("damped_param", "soft_param").replace("Damped", "Soft")
    install("solver", "Soft", other, "cafx.solvers")
    with using_registry(few()):
        with pytest.raises(CafxError, match=r"cafx-solver-damped and cafx-solver-soft both declare .* 123456"):
            SolverSpec(type="Damped", damping=0.5).to_proto()
        text = 'type: "Damped" lr_policy: "fixed" net_param { }'
        with pytest.raises(CafxError, match=r"cafx-solver-damped and cafx-solver-soft both declare .* 123456"):
            Solver(schema().parse_text(text, "SolverParameter"))


@pytest.mark.usefixtures("plugins")
def test_the_unread_options_of_another_policy_are_told(caplog: pytest.LogCaptureFixture) -> None:
    proto = SolverSpec(net=net(), base_lr=1, lr_policy="fixed", max_iter=1).to_proto()
    proto.warmup_param.warmup = 3
    with Solver(proto, engine="numpy") as solver:
        solver.step()
    assert "neither solver type 'SGD' nor policy 'fixed' reads warmup_param" in caplog.text


@pytest.mark.slow
@pytest.mark.usefixtures("plugins")
def test_such_a_package_conforms() -> None:
    from cafx.conformance.report import check

    report = check("cafx-policy-warmup")
    assert [(row.check_id, row.detail) for row in report.rows if row.outcome == "fail"] == []
    assert {"formula", "refused"} <= {row.check_id for row in report.rows if row.outcome == "pass"}
