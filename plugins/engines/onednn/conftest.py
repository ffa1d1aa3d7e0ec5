"""Fixtures of the engine's tests."""

import numpy as np
import pytest

from cafx_engine_onednn.api.constants import Arg
from cafx_engine_onednn.api.memory import Memory, MemoryDesc, Stream
from cafx_engine_onednn.api.pointwise import reorder
from cafx_engine_onednn.api.primitives import Scratchpad


class Runner:
    """Runs primitives on plain arrays, reordering to and from the layouts they choose."""

    def __init__(self):
        self.stream = Stream()
        self.scratch = Scratchpad()

    def execute(self, primitive, arguments):
        """Run a primitive on memory by role."""
        arguments = arguments | self.scratch.argument(primitive)
        primitive.build().prepare(self.stream, arguments)()

    def load(self, array, desc):
        """The values of an array in the layout of a descriptor."""
        plain = Memory(MemoryDesc.plain(array.shape), np.ascontiguousarray(array, np.float32))
        if desc.dims != array.shape:
            raise AssertionError(f"{desc!r} for an array of shape {array.shape}")
        memory = Memory(desc)
        self.execute(reorder(plain.desc, desc), {Arg.SRC: plain, Arg.DST: memory})
        return memory

    def read(self, memory):
        """The values of a memory as a plain array."""
        plain = Memory(MemoryDesc.plain(memory.desc.dims))
        self.execute(reorder(memory.desc, plain.desc), {Arg.SRC: memory, Arg.DST: plain})
        return plain.flat.reshape(memory.desc.dims)

    def __call__(self, primitive, inputs, *outputs):
        """Inputs map roles to arrays or memory; the outputs are returned as memory by role."""
        arguments = {
            arg: value if isinstance(value, Memory) else self.load(value, primitive.argument(arg))
            for arg, value in inputs.items()
        }
        results = {arg: Memory(primitive.argument(arg)) for arg in outputs}
        self.execute(primitive, arguments | results)
        return results


@pytest.fixture
def run() -> Runner:
    """Run primitives on plain arrays."""
    return Runner()
