"""The structure of an LMDB file, checked before LMDB's C code trusts it.

LMDB maps its file and follows page numbers and offsets in it without checking them: a single wrong byte may end the
process. Here the two meta pages and every page of the tree of items are checked, in NumPy over the same map; the
pages of values that are too long for the tree are not read.

A page has a number, flags, and the offsets ``lower`` and ``upper`` of its free space; two-byte offsets of its nodes
follow. A node of a leaf holds a key and a value, or the number of the first page of a long value; a node of a branch
holds a key and the number of a page.

Source: the file format of LMDB 0.9 (lmdb.h and mdb.c of OpenLDAP).
"""

from __future__ import annotations

import contextlib
import mmap
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import numpy as np
import numpy.typing as npt

from cafx.kernel.files import open_file

Numbers = npt.NDArray[Any]

MAGIC, VERSION = 0xBEEFC0DE, 1
BRANCH, LEAF, META, DIRTY = 0x01, 0x02, 0x08, 0x10
LONG_VALUE = 0x01
INTEGER_KEYS, NO_FOLDER = 0x08, 0x4000
PAGE_HEADER, NODE_HEADER = 16, 8
META_SIZE = 152
"""Bytes of a meta page, its header included."""
SMALLEST_PAGE, LARGEST_PAGE = 512, 32768
MOST_LEVELS = 32
"""Levels of a tree that LMDB's cursors can follow."""
NONE = 2**64 - 1
"""The root of an empty tree."""
FIRST_PAGE = 2
PAGES_AT_ONCE = 512


class Damaged(ValueError):
    """A statement about what is wrong with a file."""


@attrs.frozen
class Tree:
    """One of the two trees of a file.

    Attributes:
        flags: how keys are compared.
        levels: number of pages from the root to a leaf, both included.
        root: number of the first page; `NONE` if the tree is empty.
    """

    flags: int
    levels: int
    root: int


@attrs.frozen
class Meta:
    """A meta page; the one of the latest transaction counts.

    Attributes:
        transaction: number of the transaction that wrote it.
        page_size: bytes of a page.
        last_page: number of the last page in use.
        free: the tree of pages that are free.
        items: the tree of items.
    """

    transaction: int
    page_size: int
    last_page: int
    free: Tree
    items: Tree


def read_metas(path: Path) -> tuple[Meta, Meta]:
    """Both meta pages.

    Raises:
        Damaged: they are no meta pages, or contradict each other.
    """
    with open_file(path) as file:
        first = _meta(file.read(META_SIZE), 0)
        file.seek(first.page_size)
        second = _meta(file.read(META_SIZE), 1)
    if first.page_size != second.page_size:
        raise Damaged(f"its page size is {first.page_size} or {second.page_size}")
    return first, second


def _meta(data: bytes, number: int) -> Meta:
    if len(data) < META_SIZE:
        raise Damaged(f"meta page {number} is missing")
    _, _, flags, _, _, magic, version = struct.unpack_from("<QHHHHII", data)
    if not flags & META or (magic, version) != (MAGIC, VERSION):
        raise Damaged(f"page {number} is not a meta page of LMDB {VERSION}")
    page_size, file_flags = struct.unpack_from("<IH", data, 40)
    if page_size & (page_size - 1) or not SMALLEST_PAGE <= page_size <= LARGEST_PAGE:
        raise Damaged(f"its page size is {page_size}")
    if file_flags & ~(INTEGER_KEYS | NO_FOLDER) or not file_flags & INTEGER_KEYS:
        raise Damaged(f"meta page {number} has flags {file_flags:#x}")
    free, items = (_tree(data, at) for at in (40, 88))
    last_page, transaction = struct.unpack_from("<QQ", data, 136)
    return Meta(transaction, page_size, last_page, free, items)


def _tree(data: bytes, at: int) -> Tree:
    _, flags, levels, *_, root = struct.unpack_from("<IHHQQQQQ", data, at)
    return Tree(flags, levels, root)


def current(metas: tuple[Meta, Meta], transaction: int | None = None) -> Meta:
    """The meta page that LMDB uses: that of a transaction, by default the latest.

    LMDB finds it by comparing the transactions of both, or, where it locks, by whether the transaction is even.

    Raises:
        Damaged: the two ways lead to different pages, or the page is of another transaction.
    """
    if transaction is None:
        transaction = max(meta.transaction for meta in metas)
    meta = metas[transaction % 2]
    if meta.transaction != transaction:
        raise Damaged(f"meta page {transaction % 2} is of transaction {meta.transaction}, not {transaction}")
    return meta


def count_items(path: Path, meta: Meta) -> int:
    """The number of items, found by checking every page of their tree.

    Raises:
        Damaged: a page is wrong; the message says which.
    """
    if meta.items.flags:
        raise Damaged(f"its items have flags {meta.items.flags:#x}, which Caffe's databases do not have")
    with _mapped(path, meta) as pages:
        return sum(leaf.count for leaf in pages.leaves(meta.items))


def check_free_pages(path: Path, meta: Meta) -> None:
    """Check the tree of free pages, which only writers use.

    Raises:
        Damaged: a page is wrong, or one that is no page is called free.
    """
    with _mapped(path, meta) as pages:
        for leaf in pages.leaves(meta.free):
            for start, size in zip(leaf.values, leaf.sizes, strict=True):
                pages.check_free(int(start), int(size))


@contextlib.contextmanager
def _mapped(path: Path, meta: Meta) -> Iterator[_Pages]:
    with open_file(path) as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
        if len(mapped) < (meta.last_page + 1) * meta.page_size:
            raise Damaged(f"it is truncated at {len(mapped)} of {(meta.last_page + 1) * meta.page_size} bytes")
        pages = _Pages(mapped, meta)
        try:
            yield pages
        finally:
            pages.release()


@attrs.frozen(eq=False)
class _Nodes:
    """The nodes of some pages: where they begin, in bytes from the start of the file, and their headers."""

    starts: Numbers
    low: Numbers
    flags: Numbers
    key_sizes: Numbers


@attrs.frozen(eq=False)
class _Leaves:
    """The items of some leaves: where their values begin, in bytes from the start of the file, and their sizes."""

    values: Numbers
    sizes: Numbers

    @property
    def count(self) -> int:
        return len(self.sizes)


class _Pages:
    """The pages of a mapped file.

    Args:
        mapped: the file.
        meta: the meta page that counts.
    """

    def __init__(self, mapped: mmap.mmap, meta: Meta) -> None:
        self.size, self.last = meta.page_size, meta.last_page
        self.halves: Any = np.frombuffer(mapped, "<u2", len(mapped) // 2)
        self.words: Any = np.frombuffer(mapped, "<u8", len(mapped) // 8)
        self.anywhere: Any = np.ndarray((len(mapped) - 7,), "<u8", mapped, strides=(1,))

    def release(self) -> None:
        """Let go of the map, so that it can be closed."""
        self.halves = self.words = self.anywhere = None

    def leaves(self, tree: Tree) -> Iterator[_Leaves]:
        """Check a tree level by level; yields the items of its leaves."""
        if tree.root == NONE:
            return
        if not 1 <= tree.levels <= MOST_LEVELS:
            raise Damaged(f"its tree has {tree.levels} levels")
        level = self._checked(np.array([tree.root], np.uint64))
        for _ in range(tree.levels - 1):
            chunks = (level[at : at + PAGES_AT_ONCE] for at in range(0, len(level), PAGES_AT_ONCE))
            level = self._checked(np.concatenate([self._children(chunk) for chunk in chunks]))
        for at in range(0, len(level), PAGES_AT_ONCE):
            yield self._items(level[at : at + PAGES_AT_ONCE])

    def _checked(self, numbers: Numbers) -> Numbers:
        """The numbers of the pages of one level, each of which is a page and occurs once."""
        wrong = (numbers < FIRST_PAGE) | (numbers > self.last)
        if wrong.any():
            raise Damaged(f"it refers to page {numbers[wrong][0]} of {self.last + 1}")
        numbers = numbers.astype(np.int64)
        seen, order = np.zeros(self.last + 1, np.uint32), np.arange(len(numbers), dtype=np.uint32)
        seen[numbers] = order
        twice = seen[numbers] != order
        if twice.any():
            raise Damaged(f"it refers to page {numbers[twice][0]} twice")
        return numbers

    def _nodes(self, pages: Numbers, kind: int, fewest: int) -> _Nodes:
        """The nodes of pages of one kind, after checking the pages' headers and the nodes' places."""
        header = self.words.take(pages * (self.size // 8) + 1)
        flags, lower, upper = (header >> 16) & 0xFFFF, (header >> 32) & 0xFFFF, header >> 48
        counts = (lower.astype(np.int64) - PAGE_HEADER) // 2
        self._require(self.words.take(pages * (self.size // 8)) == pages.astype(np.uint64), pages, "has another number")
        self._require(flags & ~np.uint64(DIRTY) == kind, pages, "is of another kind")
        inside = (lower <= upper) & (upper <= self.size) & (lower & 1 == 0)
        self._require(inside & (counts >= fewest), pages, "has a wrong header")
        ends = np.cumsum(counts)
        slots = np.repeat(pages * (self.size // 2) + PAGE_HEADER // 2 - (ends - counts), counts)
        slots += np.arange(len(slots))
        offsets = self.halves.take(slots).astype(np.int64)
        last = self.size - NODE_HEADER
        fits = (offsets <= last) & (offsets >= np.repeat(upper.astype(np.int64), counts))
        self._require_nodes(fits, pages, counts)
        starts = np.repeat(pages * self.size, counts) + offsets
        low, flags, key_sizes = self._headers(starts)
        self._require_nodes(offsets + NODE_HEADER + key_sizes <= self.size, pages, counts)
        return _Nodes(starts, low, flags, key_sizes)

    def _headers(self, starts: Numbers) -> tuple[Numbers, Numbers, Numbers]:
        """Of each node the first four bytes, the flags and the size of the key."""
        header = self.anywhere[starts]
        low, high = (header & 0xFFFFFFFF).astype(np.int64), (header >> 32).astype(np.int64)
        return low, high & 0xFFFF, high >> 16

    def _children(self, pages: Numbers) -> Numbers:
        """The pages to which branches refer."""
        nodes = self._nodes(pages, BRANCH, 2)
        return (nodes.low | nodes.flags << 32).astype(np.uint64)

    def _items(self, pages: Numbers) -> _Leaves:
        """The items of leaves."""
        nodes = self._nodes(pages, LEAF, 1)
        if (nodes.flags & ~LONG_VALUE).any():
            raise Damaged("it has sub-databases or several values of one key, which Caffe's databases do not have")
        values, sizes = nodes.starts + NODE_HEADER + nodes.key_sizes, nodes.low
        is_long = nodes.flags == LONG_VALUE
        wrong = ((values - 1) & (self.size - 1)) + 1 + np.where(is_long, 8, sizes) > self.size
        if wrong.any():
            raise Damaged(f"a value extends beyond page {nodes.starts[wrong][0] // self.size}")
        if is_long.any():
            first = self.anywhere[values[is_long]]
            pages_needed = (sizes[is_long] + PAGE_HEADER + self.size - 1) // self.size
            outside = (first < FIRST_PAGE) | (first > self.last)
            outside |= first + pages_needed.astype(np.uint64) > self.last + 1
            if outside.any():
                raise Damaged(f"a value refers to page {first[outside][0]} of {self.last + 1}")
            values = values.copy()
            values[is_long] = first.astype(np.int64) * self.size + PAGE_HEADER
        return _Leaves(values, sizes)

    def check_free(self, start: int, size: int) -> None:
        """Check a list of free pages: their number, and their numbers in descending order."""
        count = int(self.anywhere[start]) if size >= 8 else -1
        if not 0 <= count <= size // 8 - 1:
            raise Damaged("a list of free pages has a wrong length")
        numbers = self.anywhere[start + 8 : start + 8 * (count + 1) : 8].copy()
        descends = (numbers[1:] < numbers[:-1]).all()
        if count and not (descends and numbers[-1] >= FIRST_PAGE and numbers[0] <= self.last):
            raise Damaged("a list of free pages is wrong")

    @staticmethod
    def _require(holds: Numbers, pages: Numbers, otherwise: str) -> None:
        if not holds.all():
            raise Damaged(f"page {pages[~holds][0]} {otherwise}")

    @staticmethod
    def _require_nodes(holds: Numbers, pages: Numbers, counts: Numbers) -> None:
        if not holds.all():
            raise Damaged(f"page {np.repeat(pages, counts)[~holds][0]} has an item outside")
