"""Changes of inputs, each a function of a random generator, so that every changed input can be made again."""

from __future__ import annotations

import random
import re
import struct
from typing import Any

LONGEST_RUN = 64
EDITS = (1, 1, 1, 2, 4, 12)
WIDTHS = {1: "B", 2: "H", 4: "I", 8: "Q"}
POWERS = (7, 8, 15, 16, 31, 32, 40, 63, 64)
ODD_NUMBERS = (0, 1, 2, *(2**each - 1 for each in POWERS), *(2**each for each in POWERS[:-1]))
ODD_TOKENS = r"""
0 -1 1 3 7 17 255 65536 2147483647 2147483648 -2147483649 4294967296 9223372036854775808 18446744073709551616
1e38 1e39 -1e39 1e-46 nan -inf 0x7fffffff 08 1.5 true false "" "\000" "a/../../b" "/dev/zero" "\377" '\'
"""
ODD_TEXTS = tuple(ODD_TOKENS.split())
PUNCTUATION = ("{", "}", "[", "]", "<", ">", ":", ",", ";", '"', "#", "\\", "\0", "\n", "é", "\u2028")
ODD_VALUES = (None, True, -1, 2**64, 1e308, float("nan"), "", "x", "\0", [], {}, [[[]]], {"a": {}}, 10**12)
SETTING = re.compile(r"(?<=: )(-?[\d.]+(e[+-]?\d+)?|true|false)\b")
TOKEN = re.compile(r'"[^"\n]*"|[\w.+-]+|\s+|.', re.DOTALL)


def changed_bytes(rng: random.Random, data: bytes, most: int = 1 << 16) -> bytes:
    """Bits flipped, numbers made extreme, runs deleted, repeated, inserted, exchanged; sometimes the end cut off."""
    changed = bytearray(data[:most])
    for _ in range(rng.choice(EDITS)):
        at, length = rng.randrange(len(changed) + 1), rng.randrange(1, LONGEST_RUN)
        match rng.randrange(7):
            case 0:
                changed[at:at] = rng.randbytes(length)
            case 1:
                del changed[at : at + length]
            case 2:
                changed[at:at] = changed[at : at + length] * rng.choice((1, 1, 9))
            case 3 if rng.random() < 0.3:
                del changed[at:]
            case _:
                changed = bytearray(overwritten(rng, bytes(changed)))
    return bytes(changed)


def overwritten(rng: random.Random, data: bytes, within: tuple[int, int] | None = None) -> bytes:
    """Some bytes replaced in their places, so that offsets stay right; ``within`` limits where."""
    changed, (low, high) = bytearray(data), within or (0, len(data))
    if high <= low:
        return data
    for _ in range(rng.choice(EDITS[:5])):
        at, width = rng.randrange(low, high), rng.choice(tuple(WIDTHS))
        match rng.randrange(4):
            case 0:
                new = bytes([changed[at] ^ 1 << rng.randrange(8)])
            case 1:
                new = rng.randbytes(width)
            case 2:
                order = rng.choice("<>")
                new = struct.pack(order + WIDTHS[width], rng.choice(ODD_NUMBERS) & (1 << 8 * width) - 1)
            case _:
                start = rng.randrange(low, high)
                new = bytes(changed[start : start + width * 8])
        new = new[: len(changed) - at]
        changed[at : at + len(new)] = new
    return bytes(changed)


def changed_page(rng: random.Random, data: bytes, size: int, head: int) -> bytes:
    """The first ``head`` bytes of some pages changed: the headers and tables of a file of pages."""
    for _ in range(rng.choice((1, 1, 2, 3))):
        start = rng.randrange(max(1, len(data) // size)) * size
        data = overwritten(rng, data, (start, min(start + head, len(data))))
    return data


def changed_text(rng: random.Random, text: str, words: tuple[str, ...]) -> str:
    """Numbers made extreme, words exchanged, tokens and lines deleted, repeated and inserted."""
    for _ in range(rng.choice(EDITS)):
        tokens = TOKEN.findall(text) or [" "]
        at = rng.randrange(len(tokens))
        plain = [index for index, token in enumerate(tokens) if token.strip() and token not in "{}[]<>:,;"]
        match rng.randrange(8):
            case 0 | 1 | 2 if plain:
                tokens[rng.choice(plain)] = rng.choice(ODD_TEXTS) if rng.random() < 0.6 else str(rng.randrange(-2, 20))
            case 3 if plain:
                tokens[rng.choice(plain)] = rng.choice(words)
            case 4:
                del tokens[at : at + rng.choice((1, 1, 3, 20))]
            case 5:
                tokens[at:at] = tokens[at : at + rng.choice((1, 3, 20, 80))]
            case 6:
                tokens.insert(at, f" {rng.choice(words)} {{ {rng.choice(words)}: {rng.choice(ODD_TEXTS)} }} ")
            case _:
                tokens.insert(at, rng.choice(PUNCTUATION))
        text = "".join(tokens)
    return text


def changed_settings(rng: random.Random, text: str) -> str:
    """Some values of a prototxt replaced by others of their kind: the text stays valid, what it asks for may not."""
    for _ in range(rng.choice(EDITS[:5])):
        found = list(SETTING.finditer(text))
        if not found:
            return text
        match = rng.choice(found)
        if match[0] in ("true", "false"):
            new = "true" if match[0] == "false" else "false"
        elif rng.random() < 0.6:
            new = str(rng.randrange(-2, 12))
        else:
            new = rng.choice(ODD_TEXTS[:20])
        text = text[: match.start()] + new + text[match.end() :]
    return text


def changed_value(rng: random.Random, value: Any) -> Any:
    """A value of JSON with one part replaced or removed."""
    if isinstance(value, dict) and value and rng.random() < 0.85:
        key = rng.choice(list(value))
        kept = {name: each for name, each in value.items() if name != key}
        return kept if rng.random() < 0.15 else {**kept, key: changed_value(rng, value[key])}
    if isinstance(value, list) and value and rng.random() < 0.85:
        at = rng.randrange(len(value))
        new = [] if rng.random() < 0.15 else [changed_value(rng, value[at])]
        return [*value[:at], *new, *value[at + 1 :]]
    return rng.choice(ODD_VALUES)
