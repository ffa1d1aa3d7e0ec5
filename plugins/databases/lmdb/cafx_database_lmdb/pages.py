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
PAGE_HEADER, NODE_HEADER, PAGE_NUMBER = 16, 8, 8
META_SIZE = 152
"""Bytes of a meta page, its header included."""
SMALLEST_PAGE, LARGEST_PAGE = 512, 32768
MOST_LEVELS = 32
"""Levels of a tree that LMDB's cursors can follow."""
NONE = 2**64 - 1
"""The root of an empty tree."""
FIRST_PAGE = 2
PAGES_AT_ONCE, NODES_AT_ONCE = 256, 1 << 14
"""Pages at first, and nodes later on, whose arrays fit a processor's cache."""


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
        return sum(len(leaf.at) for leaf in pages.leaves(meta.items))


def check_free_pages(path: Path, meta: Meta) -> None:
    """Check the tree of free pages, which only writers use.

    Raises:
        Damaged: a page is wrong, or one that is no page is called free.
    """
    with _mapped(path, meta) as pages:
        for leaf in pages.leaves(meta.free):
            for start, size in zip(pages.values(leaf), leaf.sizes, strict=True):
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
    """The nodes of some pages, in arrays of their fields.

    Attributes:
        at: where they begin, in units of two bytes from the start of the file.
        low, high: the two halves of the size of a value, or of the lower part of the number of a page.
        flags: the kind of a value, or the upper part of the number of a page.
        key_sizes: bytes of the keys.
        rooms: bytes of the page behind the keys.
    """

    at: Numbers
    low: Numbers
    high: Numbers
    flags: Numbers
    key_sizes: Numbers
    rooms: Numbers

    @property
    def sizes(self) -> Numbers:
        """The size of each value."""
        return self.low | self.high.astype(np.int64) << 16


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

    def leaves(self, tree: Tree) -> Iterator[_Nodes]:
        """Check a tree level by level; yields the nodes of its leaves."""
        if tree.root == NONE:
            return
        if not 1 <= tree.levels <= MOST_LEVELS:
            raise Damaged(f"its tree has {tree.levels} levels")
        level = self._checked(np.array([tree.root], np.uint64))
        for _ in range(tree.levels - 1):
            chunks = (level[at : at + PAGES_AT_ONCE] for at in range(0, len(level), PAGES_AT_ONCE))
            level = self._checked(np.concatenate([self._children(chunk) for chunk in chunks]))
        at, step = 0, PAGES_AT_ONCE
        while at < len(level):
            nodes = self._items(level[at : at + step])
            yield nodes
            at, step = at + step, max(1, step * NODES_AT_ONCE // len(nodes.at))

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
        starts, ends = pages * (self.size // 2), np.cumsum(counts)
        slots = np.repeat(starts + PAGE_HEADER // 2 - (ends - counts), counts)
        slots += np.arange(len(slots))
        offsets, last = self.halves.take(slots), np.uint16(self.size - NODE_HEADER)
        fits = (offsets <= last) & (offsets >= np.repeat(upper.astype(np.uint16), counts)) & (offsets & 1 == 0)
        self._require_nodes(fits, pages, counts)
        at = np.repeat(starts, counts)
        at += offsets >> 1
        low, high, node_flags, key_sizes = (self.halves.take(at + field) for field in range(NODE_HEADER // 2))
        rooms = last - offsets
        self._require_nodes(key_sizes <= rooms, pages, counts)
        rooms -= key_sizes
        return _Nodes(at, low, high, node_flags, key_sizes, rooms)

    def _children(self, pages: Numbers) -> Numbers:
        """The pages to which branches refer."""
        nodes = self._nodes(pages, BRANCH, 2)
        return (nodes.sizes | nodes.flags.astype(np.int64) << 32).astype(np.uint64)

    def _items(self, pages: Numbers) -> _Nodes:
        """The nodes of leaves, after checking where their values are."""
        nodes = self._nodes(pages, LEAF, 1)
        if (nodes.flags & ~np.uint16(LONG_VALUE)).any():
            raise Damaged("it has sub-databases or several values of one key, which Caffe's databases do not have")
        is_long = nodes.flags == LONG_VALUE
        wrong = np.where(is_long, nodes.rooms < PAGE_NUMBER, (nodes.low > nodes.rooms) | (nodes.high > 0))
        if wrong.any():
            raise Damaged(f"a value extends beyond page {2 * nodes.at[wrong][0] // self.size}")
        if is_long.any():
            first = self.anywhere[(2 * nodes.at + NODE_HEADER + nodes.key_sizes)[is_long]]
            pages_needed = (nodes.sizes[is_long] + PAGE_HEADER + self.size - 1) // self.size
            outside = (first < FIRST_PAGE) | (first > self.last)
            outside |= first + pages_needed.astype(np.uint64) > self.last + 1
            if outside.any():
                raise Damaged(f"a value refers to page {first[outside][0]} of {self.last + 1}")
        return nodes

    def values(self, leaves: _Nodes) -> Numbers:
        """Where values of checked leaves begin, in bytes from the start of the file."""
        values = 2 * leaves.at + NODE_HEADER + leaves.key_sizes
        is_long = leaves.flags == LONG_VALUE
        values[is_long] = self.anywhere[values[is_long]].astype(np.int64) * self.size + PAGE_HEADER
        return values

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
            raise Damaged(f"page {np.repeat(pages, counts)[~holds][0]} has a misplaced item")
