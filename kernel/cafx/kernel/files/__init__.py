"""Files: read whole, written whole or not at all, and recognised by their content."""

from cafx.kernel.files.kinds import Kind, Kinds, kind_of_file, misplaced, sniff
from cafx.kernel.files.source import HEAD, atomic_write, open_file, path_remedy, read_file, read_head, shown, unreadable

__all__ = [
    "HEAD",
    "Kind",
    "Kinds",
    "atomic_write",
    "kind_of_file",
    "misplaced",
    "open_file",
    "path_remedy",
    "read_file",
    "read_head",
    "shown",
    "sniff",
    "unreadable",
]
