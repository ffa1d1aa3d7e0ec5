"""The card of a model: ``readme.md`` with front matter, as in Caffe's model zoo and on the Hugging Face Hub.

Caffe's zoo has ``name``, ``caffemodel``, ``caffemodel_url``, ``license`` and ``sha1``; the Hub reads ``license``,
``library_name``, ``pipeline_tag``, ``tags`` and ``metrics``. ``preprocessing`` is the record of
`cafx_lib_preprocessing`. What has no place there is in ``cafx``: digest and size of each file, labels, the layer types
that the net needs, measured values and mirrors.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_zoo import frontmatter
from cafx_lib_zoo.names import SHA1, SHA256, is_file_name, is_url

MAX_CARD = 2 << 20
"""Bytes of a card that are read."""
MAX_SIZE = 1 << 50
MAX_FILES = 1000
MAX_TEXT = 300
MAX_SHOWN = 60
OURS, LIBRARY = "cafx", "cafx"
LICENSES = {
    *("apache-2.0", "mit", "bsd", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-4.0", "cc-by-sa-4.0", "gpl-2.0"),
    *("cc-by-nc-4.0", "cc-by-nc-sa-4.0", "gpl-3.0", "lgpl-3.0", "agpl-3.0", "mpl-2.0", "unlicense", "unknown", "other"),
}
"""Identifiers that the Hub knows and models of Caffe have; another licence is written as ``other`` with its name."""
DEPLOY = "deploy.prototxt"
_WRITTEN = {
    *("license", "license_name", "library_name", "pipeline_tag", "tags", "metrics", "name"),
    *("caffemodel", "caffemodel_url", "sha1", "preprocessing", OURS),
}


@attrs.frozen
class Stated:
    """A file as a card or server states it.

    Attributes:
        size: bytes, None if unknown.
        sha256, sha1: digests, None if unknown; Caffe's zoo states a SHA-1 of the weights only.
        urls: further addresses.
    """

    size: int | None = None
    sha256: str | None = None
    sha1: str | None = None
    urls: tuple[str, ...] = ()

    @property
    def has_digest(self) -> bool:
        """Whether it can be verified."""
        return bool(self.sha256 or self.sha1)


@attrs.frozen
class Card:
    """What is known of a model.

    Attributes:
        name: its name.
        body: the text below the front matter.
        license: an identifier of the Hub, or any name.
        tags: words to find it by.
        pipeline_tag: its task in the Hub's words, such as ``image-classification``; "" for none.
        metrics: measured values by name.
        net: file of the net for inference.
        weights, labels: files; None for none.
        files: what is stated of each file, by name.
        preprocessing: the record of `cafx_lib_preprocessing` as plain data; None if not stated.
        layers: the layer types that the nets need, each with the distribution that the publisher had it from.
        mirrors: addresses of further folders with the same files.
        other: front matter that is none of ours.
    """

    name: str
    body: str = ""
    license: str = "unknown"
    tags: tuple[str, ...] = ()
    pipeline_tag: str = ""
    metrics: Mapping[str, float] = attrs.field(factory=dict)
    net: str = DEPLOY
    weights: str | None = None
    labels: str | None = None
    files: Mapping[str, Stated] = attrs.field(factory=dict)
    preprocessing: Mapping[str, Any] | None = None
    layers: Mapping[str, str] = attrs.field(factory=dict)
    mirrors: tuple[str, ...] = ()
    other: Mapping[str, Any] = attrs.field(factory=dict)

    @property
    def is_complete(self) -> bool:
        """Whether it lists all files with digests, as cafx writes it."""
        return bool(self.files) and all(each.sha256 for each in self.files.values())

    @property
    def size(self) -> int:
        """Bytes of all files whose size is stated."""
        return sum(each.size or 0 for each in self.files.values())


def parse_card(data: bytes, where: str) -> Card:
    """Read a card.

    Args:
        data: the readme.
        where: its name, for errors.

    Raises:
        CafxError: it has no front matter, or states something that cannot be.

    Example:
        >>> card = parse_card(b"---\\nname: LeNet\\ncaffemodel: lenet.caffemodel\\n---\\nDigits.\\n", "readme.md")
        >>> card.name, card.weights, card.body
        ('LeNet', 'lenet.caffemodel', 'Digits.\\n')
    """
    if len(data) > MAX_CARD:
        raise CafxError("is too long for a model card", where=where, found=f"more than {MAX_CARD:,} bytes")
    try:
        text = data.decode("utf-8")
        front, body = frontmatter.split(text)
        table = frontmatter.load(front) if front else {}
    except UnicodeDecodeError:
        raise CafxError("is not a model card", where=where, found="bytes that are not UTF-8") from None
    except frontmatter.Malformed as error:
        raise CafxError(f"is not a model card: {error}", where=where) from None
    if not table:
        expected = "front matter: '---', a line such as 'name: LeNet', and '---'"
        raise CafxError("is not a model card", where=where, expected=expected)
    return _Reader(where).card(table, body)


def card_text(card: Card) -> str:
    """The readme of a card.

    Args:
        card: the card.

    Example:
        >>> print(card_text(Card("LeNet", "Digits.\\n", "mit", ("digits",))))
        ---
        license: mit
        library_name: cafx
        tags:
        - digits
        name: LeNet
        cafx:
          net: deploy.prototxt
        ---
        Digits.
        <BLANKLINE>
    """
    known = card.license in LICENSES
    weights = card.files.get(card.weights or "", Stated())
    mirror = next((f"{each.rstrip('/')}/{card.weights}" for each in card.mirrors), None)
    table = {
        "license": card.license if known else "other",
        "license_name": None if known else card.license,
        "library_name": LIBRARY,
        "pipeline_tag": card.pipeline_tag,
        "tags": list(card.tags),
        "metrics": list(card.metrics),
        "name": card.name,
        "caffemodel": card.weights,
        "caffemodel_url": mirror if card.weights else None,
        "sha1": weights.sha1,
        "preprocessing": dict(card.preprocessing) if card.preprocessing is not None else None,
        **card.other,
        OURS: _filled(
            {
                "net": card.net,
                "weights": card.weights,
                "labels": card.labels,
                "files": {name: _filled({"size": x.size, "sha256": x.sha256}) for name, x in card.files.items()},
                "layers": dict(card.layers),
                "metrics": dict(card.metrics),
                "mirrors": list(card.mirrors),
            }
        ),
    }
    return f"---\n{frontmatter.dump(_filled(table))}---\n{card.body}"


def _filled(table: Mapping[str, Any]) -> dict[str, Any]:
    """The table without what is empty; an empty file has a size of 0."""
    return {name: value for name, value in table.items() if value == 0 or value}


def _is_text(value: object) -> bool:
    """A text, or a number or flag that YAML takes some texts for."""
    return isinstance(value, str) or (isinstance(value, int | float) and abs(value) < MAX_SIZE)


@attrs.frozen
class _Reader:
    """Front matter, checked field by field.

    Args:
        where: the card's name, for errors.
    """

    where: str

    def card(self, table: dict[str, Any], body: str) -> Card:
        """The card of a whole table."""
        ours = self._table(table, OURS)
        weights = self._file(ours, "weights") or self._file(table, "caffemodel")
        files = self._files(ours)
        if weights:
            files = {**files, weights: self._weights(files.get(weights, Stated()), table)}
        stated = self._text(table, "license") or "unknown"
        return Card(
            name=self._text(table, "name") or self._text(table, "license_name") or "unnamed",
            body=body,
            license=(self._text(table, "license_name") or stated) if stated == "other" else stated,
            tags=self._texts(table, "tags"),
            pipeline_tag=self._text(table, "pipeline_tag") or "",
            metrics=self._metrics(ours),
            net=self._file(ours, "net") or DEPLOY,
            weights=weights,
            labels=self._file(ours, "labels"),
            files=files,
            preprocessing=self._table(table, "preprocessing") if "preprocessing" in table else None,
            layers=self._layers(ours),
            mirrors=self._urls(self._texts(ours, "mirrors")),
            other={name: value for name, value in table.items() if name not in _WRITTEN},
        )

    def _wrong(self, field: str, value: object, expected: str) -> CafxError:
        found = shown(repr(value))
        found = found if len(found) <= MAX_SHOWN else f"{found[:MAX_SHOWN]}…"
        return CafxError(
            f"'{shown(field)[:MAX_SHOWN]}' of the card is wrong", where=self.where, found=found, expected=expected
        )

    def _get(self, table: Mapping[str, Any], field: str, right: Callable[[Any], bool], expected: str) -> Any:
        value = table.get(field)
        if value is not None and not right(value):
            raise self._wrong(field, value, expected)
        return value

    def _table(self, table: Mapping[str, Any], field: str) -> dict[str, Any]:
        def right(value: Any) -> bool:
            return isinstance(value, dict) and all(isinstance(key, str) for key in value)

        return dict(self._get(table, field, right, "a table") or {})

    def _text(self, table: Mapping[str, Any], field: str) -> str | None:
        value = self._get(table, field, _is_text, "a text")
        text = None if value is None else " ".join(str(value).split())
        if text is not None and len(text) > MAX_TEXT:
            raise self._wrong(field, text, f"at most {MAX_TEXT} characters")
        return text

    def _texts(self, table: Mapping[str, Any], field: str) -> tuple[str, ...]:
        value = table.get(field) or []
        value = [value] if isinstance(value, str) else value
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self._wrong(field, value, "a list of texts")
        return tuple(value)

    def _urls(self, urls: tuple[str, ...]) -> tuple[str, ...]:
        for url in urls:
            if not is_url(url):
                raise self._wrong("mirrors", url, "addresses that begin with https://")
        return urls

    def _file(self, table: Mapping[str, Any], field: str) -> str | None:
        name: str | None = self._get(table, field, is_file_name, "the name of a file beside the card")
        return name

    def _files(self, ours: Mapping[str, Any]) -> dict[str, Stated]:
        files = self._table(ours, "files")
        if len(files) > MAX_FILES:
            raise self._wrong("files", len(files), f"at most {MAX_FILES}")
        folded: set[str] = set()
        for name in files:
            if not is_file_name(name) or name.lower() in folded:
                raise self._wrong("files", name, "names of files beside the card, each once")
            folded.add(name.lower())
        return {name: self._stated(self._table(files, name)) for name in files}

    def _stated(self, table: dict[str, Any]) -> Stated:
        size = self._get(table, "size", lambda n: type(n) is int and 0 <= n <= MAX_SIZE, "a number of bytes")
        return Stated(size, self._digest(table, "sha256", SHA256), self._digest(table, "sha1", SHA1))

    def _digest(self, table: Mapping[str, Any], field: str, pattern: re.Pattern[str]) -> str | None:
        expected = "hexadecimal digits, in quotes if they are all decimal"
        value = self._get(
            table, field, lambda each: bool(isinstance(each, str) and pattern.fullmatch(each.lower())), expected
        )
        return value.lower() if value else None

    def _weights(self, stated: Stated, table: Mapping[str, Any]) -> Stated:
        """The weights, with what Caffe's own fields say of them."""
        url = self._text(table, "caffemodel_url")
        urls = (url,) if url and is_url(url) else ()
        return attrs.evolve(stated, sha1=stated.sha1 or self._digest(table, "sha1", SHA1), urls=urls)

    def _metrics(self, ours: Mapping[str, Any]) -> dict[str, float]:
        metrics = self._table(ours, "metrics")
        for name, value in metrics.items():
            if not (type(value) in (int, float) and math.isfinite(value)):
                raise self._wrong(f"metrics: {name}", value, "a number")
        return metrics

    def _layers(self, ours: Mapping[str, Any]) -> dict[str, str]:
        layers = self._table(ours, "layers")
        for kind, distribution in layers.items():
            if not isinstance(distribution, str) or len(kind) > MAX_SHOWN or len(distribution) > MAX_SHOWN:
                raise self._wrong("layers", f"{kind}: {distribution}", "layer types, each with a distribution's name")
        return layers
