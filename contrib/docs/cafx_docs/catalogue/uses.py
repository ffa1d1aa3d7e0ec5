"""How a plugin of each kind is used, as a section of its page: prototxt, Python, command line."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

from cafx.kernel import registry, schema
from cafx.kernel.registry import Plugin

MANY = 10_000
EXAMPLES: Mapping[str, Mapping[str, Any]] = {
    "adjusted": {
        "adjusted_policy": "step",
        "stepsize": 4000,
        "gamma": 0.1,
        "warmup_iter": 1000,
        "warmup_start_lr": 0.001,
    },
    "exp": {"gamma": 0.9996},
    "fixed": {},
    "inv": {"gamma": 0.0005, "power": 0.75},
    "multifixed": {"stagelr": [0.1, 0.01, 0.001], "stageiter": [5000, 8000, 10_000]},
    "multistep": {"gamma": 0.1, "stepvalue": [5000, 8000]},
    "poly": {"power": 0.5, "max_iter": MANY},
    "sigmoid": {"gamma": 0.001, "stepsize": 5000},
    "step": {"gamma": 0.5, "stepsize": 2500},
}
"""Options with which a policy's example and picture are made; others use those of a conformance case."""


def policy_options(name: str) -> dict[str, Any] | None:
    """Fields of SolverParameter that show what a policy does; None if nothing says what it needs."""
    if name in EXAMPLES:
        return {"base_lr": 0.1, "lr_policy": name, **EXAMPLES[name]}
    cases: list[Any] = list(getattr(registry().load("policy", name), "cases", list)())
    given = next((dict(case.options) for case in cases if not case.error and not case.losses), None)
    return None if given is None else {"base_lr": 1.0, "lr_policy": name, "max_iter": MANY, **given}


def _policy(plugin: Plugin) -> str:
    options = policy_options(plugin.name)
    return _solver_example(options) if options else ""


def _solver(plugin: Plugin) -> str:
    return _solver_example({"type": plugin.name, "base_lr": 0.01, "lr_policy": "fixed"})


def _solver_example(options: Mapping[str, Any]) -> str:
    text = schema().to_text(schema()["SolverParameter"](**options)).rstrip()
    schema().parse_text(text, "SolverParameter")
    keywords = ", ".join(f"{name}={value!r}" for name, value in options.items()).replace("'", '"')
    return f"```python\nsolver = SolverSpec(net, {keywords})\n```\n\n```text\n{text}\n```"


def _filler(plugin: Plugin) -> str:
    return (
        f'```python\nn.ip = L.InnerProduct(n.data, num_output=10, weight_filler={{"type": "{plugin.name}"}})\n```\n\n'
        f'```text\ninner_product_param {{\n  num_output: 10\n  weight_filler {{ type: "{plugin.name}" }}\n}}\n```\n\n'
        "The options are those of [FillerParameter](../messages.md#fillerparameter)."
    )


def _database(plugin: Plugin) -> str:
    return (
        f'```python\nn.data, n.label = L.Data(source="train", backend="{plugin.name}", batch_size=64, ntop=2)\n```\n\n'
        f'```text\ndata_param {{ source: "train" backend: {plugin.name} batch_size: 64 }}\n```'
    )


def _engine(plugin: Plugin) -> str:
    return (
        f"```console\n$ cafx train net.py --engine {plugin.name}\n```\n\n"
        f'```python\nnet = Net("deploy.prototxt", engine="{plugin.name}")\n```'
    )


def _model(plugin: Plugin) -> str:
    module, _, function = plugin.value.partition(":")
    signature = inspect.signature(registry().load_plugin(plugin))
    plain = signature.replace(
        parameters=[each.replace(annotation=each.empty) for each in signature.parameters.values()],
        return_annotation=signature.empty,
    )
    return f"```python\nfrom {module} import {function}\n\n# {function}{plain}\nnet = {function}()\n```"


def _command_line(option: str) -> Callable[[Plugin], str]:
    return lambda plugin: f"```console\n$ {option.format(plugin.name)}\n```"


USES: Mapping[str, Callable[[Plugin], str]] = {
    "cafx.policies": _policy,
    "cafx.solvers": _solver,
    "cafx.fillers": _filler,
    "cafx.databases": _database,
    "cafx.engines": _engine,
    "cafx.models": _model,
    "cafx.monitors": _command_line("cafx train net.py --monitor {}"),
    "cafx.communicators": _command_line("cafx train net.py --communicator {}"),
    "cafx.dialects": _command_line("cafx train net.py --dialect {}"),
}


def use_section(plugin: Plugin) -> str:
    """How a plugin is used; empty if its kind says nothing about that."""
    use = USES.get(plugin.group)
    text = use(plugin) if use else ""
    return f"## Use\n\n{text}" if text else ""
