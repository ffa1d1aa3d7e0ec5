"""Every kernel compiles in float32 and bfloat16 for the GPUs that CUDA 13 knows."""

from importlib import resources

import pytest

from cafx.conformance import nvrtc
from cafx_engine_cudnn.precision import TYPES
from cafx_engine_cupy.session import PRELUDE, source

PACKAGE = "cafx_engine_cudnn"
FLOAT32, BF16 = ("-DBF16=0", "-DVEC=4"), ("-DBF16=1", "-DVEC=8")
VARIANTS = [(75, FLOAT32), *((architecture, options) for architecture in (80, 90, 100) for options in (FLOAT32, BF16))]
NAMES = [f"sm_{architecture}-{'bf16' if options is BF16 else 'float32'}" for architecture, options in VARIANTS]
FILES = sorted(
    file.name for file in resources.files(PACKAGE).joinpath("kernels").iterdir() if file.name.endswith(".cu")
)

pytestmark = pytest.mark.skipif(bool(nvrtc.unavailable()), reason=nvrtc.unavailable() or "")


def code(*files):
    return source("cafx_engine_cupy", PRELUDE) + "".join(source(PACKAGE, file) for file in (TYPES, *files))


def test_there_are_kernels():
    assert FILES


@pytest.mark.parametrize(
    ("architecture", "options"),
    [VARIANTS[0], *(pytest.param(*each, marks=pytest.mark.slow) for each in VARIANTS[1:])],
    ids=NAMES,
)
@pytest.mark.parametrize("file", [FILES[0], *(pytest.param(each, marks=pytest.mark.slow) for each in FILES[1:])])
def test_kernels_compile(file, architecture, options):
    if architecture not in nvrtc.architectures():
        pytest.skip(f"this NVRTC does not know sm_{architecture}")
    assert nvrtc.compile_source(code(file), architecture, options)


def test_a_kernel_that_only_fails_in_bf16_is_found():
    assigned = code() + 'extern "C" __global__ void f(value_t* x, float* y) { float& z = x[0]; z = y[0]; }'
    assert nvrtc.compile_source(assigned, 90, FLOAT32)
    with pytest.raises(nvrtc.CompileError, match="reference"):
        nvrtc.compile_source(assigned, 90, BF16)
