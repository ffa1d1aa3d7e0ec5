"""Write the type stubs that come with cafx-dsl, those of Caffe's own plugins: uv run python .ci/stubs.py."""

from __future__ import annotations

from pathlib import Path

from cafx.conformance.catalogue import of_caffe
from cafx.kernel.registry import using_registry
from cafx_command_stubs.writing import write

ROOT = Path(__file__).resolve().parents[1]

if __name__ == "__main__":
    with using_registry(of_caffe()):
        write(ROOT / "dsl/cafx/dsl", whole=False)
