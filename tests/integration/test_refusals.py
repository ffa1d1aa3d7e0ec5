"""Invalid options and shapes are refused when the net is built.

The error names the layer, the invalid value and the allowed ones. Errors that depend on values, such as
labels out of range, are raised in the forward pass and tested with each layer.
"""

from __future__ import annotations

import re
from pathlib import Path

import attrs
import pytest

from cafx.kernel import CafxError, Net, Phase, registry

NAME = "subject"
HERE = Path(__file__).parent
TABLES = ("refusals.txt", "refusals_of_forks.txt")
"""Two lines per case: type, shapes of bottoms, ``-> tops`` unless 1, and options; then phrases of the error."""

SIMPLE_ACTIVATIONS = {"AbsVal", "BNLL", "ELU", "Power", "ReLU", "ReLU6", "Sigmoid", "Swish", "TanH", "Threshold"}
ALWAYS_VALID = SIMPLE_ACTIVATIONS | {"Silence", "Split"}
"""Types that accept any bottom and any value of their options."""


@attrs.frozen
class InvalidLayer:
    """A layer that cannot be built, and phrases of the error."""

    type: str
    bottoms: list[list[str]]
    tops: int
    options: str
    phrases: list[str]

    @classmethod
    def read(cls, layer: str, phrases: str) -> InvalidLayer:
        """Parse two lines of the table."""
        parts = re.fullmatch(r"(\w+)((?: [\dx]+| scalar)*)(?: -> (\d))?: ?(.*)", layer)
        assert parts, layer
        shapes = [re.findall(r"\d+", shape) for shape in parts[2].split()]
        return cls(parts[1], shapes, int(parts[3] or 1), parts[4], phrases.strip().split(" | "))

    @property
    def prototxt(self) -> str:
        """A net of inputs and the layer, one per line."""
        lines = [
            f'layer {{ name: "b{i}" type: "Input" top: "b{i}" input_param {{ shape {{ '
            f"{' '.join(f'dim: {length}' for length in shape)} }} }} }}"
            for i, shape in enumerate(self.bottoms)
        ]
        bottoms = " ".join(f'bottom: "b{i}"' for i in range(len(self.bottoms)))
        tops = " ".join(f'top: "t{i}"' for i in range(self.tops))
        lines.append(f'layer {{ name: "{NAME}" type: "{self.type}" {bottoms} {tops} {self.options} }}')
        return "\n".join(lines)


LINES = [line for table in TABLES for line in (HERE / table).read_text("utf-8").splitlines() if line]
CASES = [InvalidLayer.read(*pair) for pair in zip(LINES[::2], LINES[1::2], strict=True)]


@pytest.mark.parametrize("case", CASES, ids=LINES[::2])
def test_an_invalid_layer_is_refused(case: InvalidLayer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("net.prototxt").write_text(case.prototxt, "utf-8")
    with pytest.raises(CafxError) as caught:
        Net("net.prototxt", Phase.TRAIN, engine="numpy", trust=True)
    error, line = str(caught.value), len(case.bottoms) + 1
    assert error.startswith(f"net.prototxt:{line}: layer '{NAME}' ({case.type}): ")
    assert [phrase for phrase in case.phrases if phrase not in error] == [], error


def test_the_table_covers_every_type() -> None:
    assert {case.type for case in CASES} | ALWAYS_VALID == set(registry().names("layer"))
