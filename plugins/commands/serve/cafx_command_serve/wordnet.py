"""An is-a tree of ImageNet's classes from WordNet: python -m cafx_command_serve.wordnet WORDNET LABELS > imagenet.tsv.

WORDNET is WordNet 3.0's ``data.noun`` or its folder, as Debian's package wordnet-base installs it in
/usr/share/wordnet. LABELS is synset_words.txt, whose lines begin with the synset: the letter n and its offset.
"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from cafx.kernel import CafxError
from cafx.kernel.files import open_file, shown, unreadable
from cafx_lib_preprocessing import read_labels

HYPERNYMS = ("@", "@i")
"""What leads from a noun, or from a proper name, to what it is one of."""
HEADER = "  "
USAGE = "usage: python -m cafx_command_serve.wordnet WORDNET LABELS > imagenet.tsv"
OFFSET_LETTERS = 8
MOST_LINE = 1 << 16


def read_nouns(path: Path) -> dict[str, tuple[list[str], str]]:
    """The synsets of a ``data.noun``: hypernyms and words, by name.

    A line has, separated by blanks: offset, file number, type, number of words (hexadecimal), each word and its
    number, number of pointers, each pointer's symbol, offset, part of speech and source, then a gloss.

    Args:
        path: the file, or its folder.

    Raises:
        CafxError: it is not such a file.

    Source: WordNet 3.0, wndb(5).
    """
    file = path / "data.noun" if path.is_dir() else path
    found: dict[str, tuple[list[str], str]] = {}
    try:
        with open_file(file) as lines:
            number = 0
            while line := lines.readline(MOST_LINE).decode("utf-8", "replace"):
                number += 1
                if line.startswith(HEADER):
                    continue
                name, hypernyms, words = _parsed(line, f"{shown(file)}:{number}")
                found[name] = (hypernyms, words)
    except OSError as error:
        raise unreadable(file, error) from None
    if not found:
        raise CafxError("has no synsets", where=shown(file), expected="WordNet's data.noun")
    return found


def _parsed(line: str, where: str) -> tuple[str, list[str], str]:
    fields = line.split(" ")
    try:
        count = int(fields[3], 16)
        words = [word.replace("_", " ") for word in fields[4 : 4 + 2 * count : 2]]
        rest = fields[4 + 2 * count :]
        pointers = [rest[1 + 4 * each : 5 + 4 * each] for each in range(int(rest[0]))]
        above = [f"n{offset}" for symbol, offset, part, _ in pointers if symbol in HYPERNYMS and part == "n"]
        if len(fields[0]) != OFFSET_LETTERS or not fields[0].isdecimal() or len(words) != count or not words:
            raise ValueError
    except (ValueError, IndexError):
        expected = "a synset of WordNet's data.noun"
        raise CafxError("is no synset", where=where, found=shown(line[:60]), expected=expected) from None
    return f"n{fields[0]}", above, ", ".join(words)


def tree_lines(nouns: dict[str, tuple[list[str], str]], labels: Sequence[str]) -> Iterator[str]:
    """The lines of the tree above these classes, see `cafx_command_serve.hedging.read_tree`.

    Raises:
        CafxError: a class is no synset.
    """
    known = set(_with_ancestors((label.split(" ")[0] for label in labels), nouns))
    for name in sorted(known):
        above, words = nouns[name]
        yield "\t".join((name, ",".join(each for each in above if each in known), words))


def _with_ancestors(names: Iterable[str], nouns: dict[str, tuple[list[str], str]]) -> Iterator[str]:
    waiting, seen = list(names), set()
    while waiting:
        name = waiting.pop()
        if name not in nouns:
            raise CafxError("WordNet has no such synset", found=shown(name[:40]), expected="such as n02084071")
        if name not in seen:
            seen.add(name)
            yield name
            waiting += nouns[name][0]


def main(arguments: Sequence[str]) -> int:
    """Print the tree of the files named; returns the exit code."""
    if len(arguments) != 2:
        print(USAGE, file=sys.stderr)
        return 2
    try:
        for line in tree_lines(read_nouns(Path(arguments[0])), read_labels(arguments[1])):
            print(line)
    except CafxError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
