"""Primitive descriptors, primitives, and calls whose arguments are built once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from ctypes import addressof, byref, c_char_p, c_void_p
from typing import Any

from ..api.attributes import Attr
from ..api.constants import Arg, Query, Status
from ..api.library import DnnlError, failure, load
from ..api.memory import Memory, MemoryDesc, Stream, zeroed
from ..api.signatures import ExecArg


class PrimitiveDesc:
    """A chosen implementation and the layouts it wants."""

    def __init__(
        self, name: str, where: str, *arguments: Any, attr: Attr | None = None, hint: PrimitiveDesc | None = None
    ) -> None:
        """Create by `dnnl_<name>_primitive_desc_create(out, *arguments, hint, attr)`.

        The hint, a backward primitive's forward one, lives as long: `next` reads it.
        """
        library = load()
        self.where = where
        self.handle: c_void_p
        self._hint = hint
        self._library = library
        self._destroy = library.destroyer("primitive_desc")
        built = (attr or Attr()).build(library, where)
        function = f"{name}_primitive_desc_create"
        hints = [] if hint is None else [hint.handle]
        self.handle = library.create(function, where, *arguments, *hints, built.handle)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._destroy(self.handle)

    def desc(self, what: Query, index: int = 0) -> MemoryDesc:
        """The memory descriptor of one argument; the empty one where there is none."""
        library = self._library
        handle = library.value("primitive_desc_query_md", self.handle, what, index)
        if not handle:
            raise DnnlError(self.where, f"no {what.name.lower()}", "a memory descriptor")
        return MemoryDesc.copy_of(c_void_p(handle), library)

    def argument(self, arg: int) -> MemoryDesc:
        """The memory descriptor of an execution argument by its role."""
        return self.desc(Query.EXEC_ARG_MD, arg)

    @property
    def src(self) -> MemoryDesc:
        """Layout of the source."""
        return self.desc(Query.SRC_MD)

    @property
    def weights(self) -> MemoryDesc:
        """Layout of the weights."""
        return self.desc(Query.WEIGHTS_MD)

    @property
    def bias(self) -> MemoryDesc:
        """Layout of the bias."""
        return self.desc(Query.WEIGHTS_MD, 1)

    @property
    def dst(self) -> MemoryDesc:
        """Layout of the result."""
        return self.desc(Query.DST_MD)

    @property
    def diff_src(self) -> MemoryDesc:
        """Layout of the source's gradient."""
        return self.desc(Query.DIFF_SRC_MD)

    @property
    def diff_weights(self) -> MemoryDesc:
        """Layout of the weights' gradient."""
        return self.desc(Query.DIFF_WEIGHTS_MD)

    @property
    def diff_dst(self) -> MemoryDesc:
        """Layout of the result's gradient."""
        return self.desc(Query.DIFF_DST_MD)

    @property
    def workspace(self) -> MemoryDesc:
        """Layout of what forward leaves for backward."""
        return self.desc(Query.WORKSPACE_MD)

    @property
    def scratchpad(self) -> MemoryDesc:
        """Layout of the scratch memory."""
        return self.desc(Query.SCRATCHPAD_MD)

    @property
    def implementation(self) -> str:
        """The kernel's name, such as `jit:avx512_core`; one starting with `ref` is slow."""
        text = c_char_p()
        arguments = self.handle, Query.IMPL_INFO_STR, 0, byref(text)
        self._library.call("primitive_desc_query", self.where, *arguments)
        return (text.value or b"").decode()

    def next(self) -> bool:
        """Turn to the next implementation, if there is one."""
        status = self._library.status("primitive_desc_next_impl", self.handle)
        if status not in (Status.SUCCESS, Status.LAST_IMPL_REACHED):
            raise failure(self.where, "primitive_desc_next_impl", status)
        return bool(status == Status.SUCCESS)

    def build(self) -> Primitive:
        """The executable primitive (code is generated here and cached by oneDNN)."""
        return Primitive(self)


class Primitive:
    """Executable code for one primitive descriptor."""

    def __init__(self, desc: PrimitiveDesc) -> None:
        library = load()
        self.desc = desc
        self.where = desc.where
        self._destroy = library.destroyer("primitive")
        self.handle = library.create("primitive_create", desc.where, desc.handle)

    def __del__(self) -> None:
        if hasattr(self, "handle"):
            self._destroy(self.handle)

    def prepare(self, stream: Stream, arguments: Mapping[int, Memory]) -> Call:
        """Bind memory to roles once; the result is run many times."""
        return Call(self, stream, arguments)


class Call:
    """A primitive with its argument array: calling it is one foreign call.

    `step` is what a tight loop unpacks into `Library.execute`; the objects that its pointers refer
    to live as long as the call.
    """

    def __init__(self, primitive: Primitive, stream: Stream, arguments: Mapping[int, Memory]):
        self._execute = load().execute
        self.where = primitive.where
        self.arguments = dict(arguments)
        self._keep = primitive, stream
        array = (ExecArg * len(arguments))()
        for entry, (arg, memory) in zip(array, arguments.items(), strict=True):
            entry.arg = arg
            entry.memory = memory.handle
        # Ready-made ctypes objects: converting addresses per call would cost as much as the call.
        self._array = array
        self.step = primitive.handle, stream.handle, len(array), c_void_p(addressof(array))

    def __call__(self) -> None:
        """Execute."""
        status = self._execute(*self.step)
        if status:
            raise failure(self.where, "primitive_execute", status)


class CallSequence:
    """Several calls run in order by one Python call."""

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)
        self._execute = load().execute
        self._steps = [call.step for call in self.calls]

    def __call__(self) -> None:
        """Execute."""
        execute = self._execute
        for step in self._steps:
            if status := execute(*step):
                where = self.calls[self._steps.index(step)].where
                raise failure(where, "primitive_execute", status)

    def __len__(self) -> int:
        return len(self.calls)


class Scratchpad:
    """The scratchpad that all primitives of one stream share, as large as the greediest needs."""

    def __init__(self) -> None:
        self._array = zeroed(0)
        self._memories: list[Memory] = []

    @property
    def size(self) -> int:
        """Bytes held."""
        return self._array.nbytes

    def argument(self, primitive: PrimitiveDesc) -> dict[int, Memory]:
        """The scratchpad entry of a primitive's arguments; empty where it needs none."""
        desc = primitive.scratchpad
        if not desc.size:
            return {}
        if desc.size > self.size:
            self._array = zeroed(desc.size)
            for memory in self._memories:
                memory.rebind(self._array)
        memory = Memory(desc, self._array)
        self._memories.append(memory)
        return {Arg.SCRATCHPAD: memory}
