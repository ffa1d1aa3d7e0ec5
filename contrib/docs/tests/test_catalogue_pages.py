"""The catalogue says what the registry knows: kinds, options, examples, engines, ONNX, Caffe's page, pictures."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from cafx.kernel import registry, schema
from cafx.kernel.registry import KINDS as REGISTRY_KINDS
from cafx_docs.catalogue import plots, write_catalogue
from cafx_docs.catalogue.caffe import DESCRIBED, caffe_page
from cafx_docs.catalogue.commands import commands, help_paragraphs
from cafx_docs.catalogue.files import Written
from cafx_docs.catalogue.kinds import KINDS, LEFT_OUT, page_name
from cafx_docs.catalogue.uses import policy_options

ONLY = (
    "layers/relu",
    "losses/hingeloss",
    "policies/step",
    "fillers/xavier",
    "commands/net",
    "solvers/adam",
    "models/nin",
)


@pytest.fixture(scope="module")
def catalogue(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalogue")
    write_catalogue(folder, ONLY)
    return folder


def test_every_kind_of_plugin_has_a_list_or_a_reason() -> None:
    groups = {group for kind, groups in REGISTRY_KINDS.items() if kind not in LEFT_OUT for group in groups}
    assert {kind.group for kind in KINDS} == groups
    assert set(LEFT_OUT) <= set(REGISTRY_KINDS)


def test_no_two_plugins_share_a_page() -> None:
    plugins = [plugin for kind in REGISTRY_KINDS for plugin in registry().plugins(kind) if kind not in LEFT_OUT]
    pages = [page_name(plugin) for plugin in plugins]
    assert sorted(set(pages)) == sorted(pages)


def test_lists_and_pages_are_written_for_what_is_chosen(catalogue: Path) -> None:
    written = {path.relative_to(catalogue).with_suffix("").as_posix() for path in catalogue.rglob("*.md")}
    assert written == {*ONLY, "index", "messages", *(f"{kind.folder}/index" for kind in KINDS)}


def test_a_layer_s_page_has_all_its_sections(catalogue: Path) -> None:
    page = (catalogue / "layers/relu.md").read_text("utf-8")
    assert re.findall(r"(?m)^## (.+)$", page) == [
        "Options: `relu_param` = 123",
        "Properties",
        "Example",
        "Engines",
        "ONNX",
        "In Caffe",
        "Source",
    ]
    assert "| `negative_slope` | float | 0.0 |" in page
    assert r"| `engine` | DEFAULT \| CAFFE \| CUDNN" in page
    assert "y = max(x, 0) + negative_slope · min(x, 0)" in page
    assert "* **Gradient**: dx = dy where x > 0" in page
    assert "n.relu1 = L.ReLU(n.data, negative_slope=0.1)" in page
    assert "| [onednn](../engines/onednn.md) | its own routine |" in page
    assert "| [numpy](../engines/numpy.md) | as the layer is written |" in page
    assert "Import: `Relu`, `LeakyRelu`." in page
    assert "<https://caffe.berkeleyvision.org/tutorial/layers/relu.html>" in page
    assert "![y and dy/dx of ReLU for x from -4 to 4, negative_slope = 0.1](relu.svg)" in page
    assert (catalogue / "layers/relu.svg").read_bytes().startswith(b"<?xml")


def test_the_other_kinds_have_a_use_and_a_picture(catalogue: Path) -> None:
    assert 'lr_policy: "step"\ngamma: 0.5\n' in (catalogue / "policies/step.md").read_text("utf-8")
    assert 'weight_filler { type: "xavier" }' in (catalogue / "fillers/xavier.md").read_text("utf-8")
    assert 'type: "Adam"' in (catalogue / "solvers/adam.md").read_text("utf-8")
    assert "net = nin()" in (catalogue / "models/nin.md").read_text("utf-8")
    for picture in ("policies/step.svg", "fillers/xavier.svg"):
        assert b"</svg>" in (catalogue / picture).read_bytes()


def test_a_command_s_page_has_usage_options_and_examples(catalogue: Path) -> None:
    page = (catalogue / "commands/net.md").read_text("utf-8")
    assert page.startswith("# cafx net\n\n```console\n$ cafx net [OPTIONS] FILE\n```\n")
    assert "| `--level N` |" in page
    assert re.search(r"```console\n\$ cafx net \S", page.partition("\n\n")[2].partition("```\n")[2])


def test_a_list_links_each_page_and_names_its_distribution(catalogue: Path) -> None:
    text = (catalogue / "policies/index.md").read_text("utf-8")
    assert re.search(r"\| \[step\]\(step\.md\) \| rate = .* \| cafx-policy-step \|", text)
    assert "```{toctree}\n:hidden:\n\nstep\n```" in text


def test_messages_that_several_plugins_share_are_described(catalogue: Path) -> None:
    text = (catalogue / "messages.md").read_text("utf-8")
    assert {"`FillerParameter`", "`SolverParameter`", "`TransformationParameter`"} <= set(
        re.findall(r"(?m)^## (.+)$", text)
    )
    assert "| `base_lr` | float |" in text


def test_generated_files_are_left_alone_unless_they_change(tmp_path: Path) -> None:
    for contents, changed in (("one", False), ("two", True)):
        (tmp_path / "old.md").write_text("old")
        first = Written(tmp_path)
        first.write("page.md", "one")
        before = (tmp_path / "page.md").stat().st_ino
        second = Written(tmp_path)
        second.write("page.md", contents)
        second.remove_others()
        assert ((tmp_path / "page.md").stat().st_ino != before) is changed
        assert [path.name for path in tmp_path.iterdir()] == ["page.md"]


def test_caffe_s_pages_are_those_of_installed_types() -> None:
    assert set(registry().names("layer")) >= DESCRIBED
    assert caffe_page("SoftmaxWithLoss") == "https://caffe.berkeleyvision.org/tutorial/layers/softmaxwithloss.html"
    assert caffe_page("Swish") is None


@pytest.mark.parametrize("name", registry().names("policy"))
def test_a_policy_s_example_makes_that_policy(name: str) -> None:
    options = policy_options(name)
    policy = registry().load("policy", name)
    if options is None:
        assert policy.watches_loss
        return
    assert policy(schema()["SolverParameter"](**{"max_iter": 100, **options})).rate(0) >= 0


@pytest.mark.parametrize(
    ("name", "has_picture"), [("TanH", True), ("Clip", True), ("MVN", False), ("PReLU", False), ("Dropout", False)]
)
def test_activations_have_pictures_where_each_value_is_treated_alike(name: str, has_picture: bool) -> None:
    assert (plots.activation(name, registry().load("layer", name)) is not None) is has_picture


def test_an_activation_s_curves_are_right() -> None:
    proto = schema()["LayerParameter"](name="t", type="TanH", bottom=["x"], top=["y"])
    y, slope = plots._curves(proto, True)
    np.testing.assert_allclose(y, np.tanh(plots.X), rtol=1e-12)
    np.testing.assert_allclose(slope, 1 - np.tanh(plots.X) ** 2, rtol=1e-12)


def test_a_picture_is_the_same_each_time() -> None:
    assert plots.rates("step") == plots.rates("step")


def test_every_command_has_help_that_becomes_paragraphs() -> None:
    for name, command, _ in commands():
        assert list(help_paragraphs(command.help or "")), name


def test_markup_in_help_is_text() -> None:
    assert list(help_paragraphs("Set *FIELD* of `a_b` [x].")) == [r"Set \*FIELD\* of `a_b` \[x]."]
