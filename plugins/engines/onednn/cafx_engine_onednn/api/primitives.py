"""Primitive descriptors, primitives, and calls with prepared arguments."""

from __future__ import annotations

import weakref
from collections.abc import Iterable, Mapping
from ctypes import addressof, byref, c_char_p, c_void_p
from typing import Any

from ..api.attributes import Attr
from ..api.constants import Arg, Query, Status
from ..api.library import DnnlError, failure, load
from ..api.memory import Memory, MemoryDesc, Stream, zeroed
from ..api.signatures import ExecArg


class PrimitiveDesc:
    """An implementation of a primitive, and its preferred layouts.

    Args:
        name: the primitive, as in ``dnnl_<name>_primitive_desc_create``.
        where: name of the primitive, for errors.
        arguments: arguments of that function between the result and the hint.
        attr: attributes.
        hint: for a backward primitive, the descriptor of the forward primitive.

    Raises:
        DnnlError: oneDNN has no implementation.
    """

    def __init__(
        self, name: str, where: str, *arguments: Any, attr: Attr | None = None, hint: PrimitiveDesc | None = None
    ) -> None:
        library = load()
        self.where = where
        self.handle: c_void_p
        self._hint = hint  # read by `next`
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
        """The memory descriptor of an argument.

        Args:
            what: kind of the argument.
            index: position among arguments of this kind.

        Raises:
            DnnlError: the primitive has no such argument.
        """
        library = self._library
        handle = library.value("primitive_desc_query_md", self.handle, what, index)
        if not handle:
            raise DnnlError(self.where, f"no {what.name.lower()}", "a memory descriptor")
        return MemoryDesc.copy_of(c_void_p(handle), library)

    def argument(self, arg: int) -> MemoryDesc:
        """The memory descriptor of a run-time argument.

        Args:
            arg: the argument, a value of `Arg`.
        """
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
        """Layout of the destination."""
        return self.desc(Query.DST_MD)

    @property
    def diff_src(self) -> MemoryDesc:
        """Layout of the gradient with respect to the source."""
        return self.desc(Query.DIFF_SRC_MD)

    @property
    def diff_weights(self) -> MemoryDesc:
        """Layout of the gradient with respect to the weights."""
        return self.desc(Query.DIFF_WEIGHTS_MD)

    @property
    def diff_dst(self) -> MemoryDesc:
        """Layout of the gradient with respect to the destination."""
        return self.desc(Query.DIFF_DST_MD)

    @property
    def workspace(self) -> MemoryDesc:
        """Layout of the workspace, which the forward pass writes and the backward pass reads."""
        return self.desc(Query.WORKSPACE_MD)

    @property
    def scratchpad(self) -> MemoryDesc:
        """Layout of the scratchpad."""
        return self.desc(Query.SCRATCHPAD_MD)

    @property
    def implementation(self) -> str:
        """Name of the implementation, e.g. ``jit:avx512_core``; names that start with ``ref`` are slow ones."""
        text = c_char_p()
        arguments = self.handle, Query.IMPL_INFO_STR, 0, byref(text)
        self._library.call("primitive_desc_query", self.where, *arguments)
        return (text.value or b"").decode()

    def next(self) -> bool:
        """Advance to the next implementation.

        Returns:
            False if there are no more implementations.
        """
        status = self._library.status("primitive_desc_next_impl", self.handle)
        if status not in (Status.SUCCESS, Status.LAST_IMPL_REACHED):
            raise failure(self.where, "primitive_desc_next_impl", status)
        return bool(status == Status.SUCCESS)

    def build(self) -> Primitive:
        """Generate code, unless oneDNN has it in its cache."""
        return Primitive(self)


class Primitive:
    """Executable code of a primitive.

    Args:
        desc: the implementation.
    """

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
        """Bind memory to the run-time arguments; the result can be called repeatedly.

        Args:
            stream: the stream to execute on.
            arguments: memory by argument (`Arg`).
        """
        return Call(self, stream, arguments)


class Call:
    """A primitive with its run-time arguments, executed by one foreign call.

    Args:
        primitive: the primitive.
        stream: the stream to execute on.
        arguments: memory by argument (`Arg`), which the call keeps alive.

    Attributes:
        step: arguments of `Library.execute`, for tight loops; valid as long as the call exists.
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
        # ctypes objects made in advance: converting addresses would cost as much as the call itself
        self._array = array
        self.step = primitive.handle, stream.handle, len(array), c_void_p(addressof(array))

    def join(self, recording: Any) -> bool:
        """Write itself down."""
        return bool(recording.call(self))

    def __call__(self) -> None:
        """Execute."""
        status = self._execute(*self.step)
        if status:
            raise failure(self.where, "primitive_execute", status)


class CallSequence:
    """Several calls, executed in order by one Python call.

    Args:
        calls: the calls.
    """

    def __init__(self, calls: Iterable[Call]) -> None:
        self.calls = list(calls)
        self._execute = load().execute
        self._steps = [call.step for call in self.calls]

    def join(self, recording: Any) -> bool:
        """Write the calls down."""
        return all(call.join(recording) for call in self.calls)

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
    """The scratchpad shared by all primitives of one stream; it grows to the largest size required."""

    def __init__(self) -> None:
        self._array = zeroed(0)
        self._memories: weakref.WeakSet[Memory] = weakref.WeakSet()

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self._array.nbytes

    def argument(self, primitive: PrimitiveDesc) -> dict[int, Memory]:
        """The run-time argument for a primitive's scratchpad; empty if it needs none.

        Args:
            primitive: the implementation.
        """
        desc = primitive.scratchpad
        if not desc.size:
            return {}
        if desc.size > self.size:
            self._array = zeroed(desc.size)
            for memory in list(self._memories):
                memory.rebind(self._array)
        memory = Memory(desc, self._array)
        self._memories.add(memory)
        return {Arg.SCRATCHPAD: memory}
