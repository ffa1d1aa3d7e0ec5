"""Every kernel compiles for the GPUs that CUDA 13 knows, which NVRTC shows without a GPU."""

from importlib import resources

import pytest

from cafx.conformance import nvrtc
from cafx_engine_cupy.session import PRELUDE, source
from cafx_engine_cupy.update import KINDS

PACKAGE = "cafx_engine_cupy"
ARCHITECTURES = (75, 80, 90, 100)
VARIANTS = {"update.cu": [(f"-DKIND={number}",) for number in range(len(KINDS))]}
FILES = sorted(
    file.name for file in resources.files(PACKAGE).joinpath("kernels").iterdir() if file.name.endswith(".cu")
)

pytestmark = pytest.mark.skipif(bool(nvrtc.unavailable()), reason=nvrtc.unavailable() or "")


def test_there_are_kernels():
    assert FILES


@pytest.mark.slow
@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("file", FILES)
def test_kernels_compile(file, architecture):
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not know sm_{architecture}")
    for options in VARIANTS.get(file, [()]):
        assert nvrtc.compile_source(source(PACKAGE, PRELUDE) + source(PACKAGE, file), architecture, options)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        ('extern "C" __global__ void f(float* x) { *x = missing; }', "missing"),
        ('extern "C" __global__ void f(float* x) { int unused; }', "never referenced"),
        ('extern "C" __global__ void f(float* x) { asm("nonsense.f32;"); }', "nonsense"),
    ],
)
def test_a_source_that_is_wrong_is_found(broken, message):
    with pytest.raises(nvrtc.CompileError, match=message):
        nvrtc.compile_source(broken, 90)
