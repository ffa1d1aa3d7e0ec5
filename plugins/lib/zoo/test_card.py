"""Cards: what is written is read, Caffe's own are read, and hostile ones are refused before they cost anything."""

from __future__ import annotations

import contextlib
import math
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cafx.kernel import CafxError
from cafx_lib_zoo import Card, Stated, card_text, parse_card
from cafx_lib_zoo.names import check_url, is_file_name, shown_url

CAFFENET = b"""---
name: BAIR/BVLC CaffeNet Model
caffemodel: bvlc_reference_caffenet.caffemodel
caffemodel_url: http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel
license: unrestricted
sha1: 4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46
caffe_commit: 709dc15af4a06bebda027c1eb2b3f3e3375d5077
---

This model is the result of following the Caffe ImageNet model training instructions.
"""
WORDS = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=30).map(lambda text: " ".join(text.split()))
NAMES = st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.+-]{0,20}", fullmatch=True).filter(is_file_name)
DIGESTS = st.from_regex(r"[0-9a-f]{64}", fullmatch=True) | st.from_regex(r"[0-9]{64}", fullmatch=True)
STATED = st.builds(Stated, size=st.integers(0, 1 << 50), sha256=DIGESTS)
FILES = st.dictionaries(NAMES, STATED, max_size=4).filter(
    lambda files: len({each.lower() for each in files}) == len(files)
)
CARDS = st.builds(
    Card,
    name=WORDS.filter(bool),
    body=WORDS,
    license=st.sampled_from(["mit", "unrestricted", "no", "1.0"]),
    tags=st.lists(WORDS.filter(bool), max_size=3).map(tuple),
    pipeline_tag=st.sampled_from(["", "image-classification"]),
    metrics=st.dictionaries(WORDS.filter(bool), st.floats(allow_nan=False, allow_infinity=False), max_size=3),
    net=NAMES,
    files=FILES,
    preprocessing=st.none() | st.just({"size": [256, 256], "mean": [104.0, 117, 123]}),
    layers=st.dictionaries(WORDS.filter(bool), WORDS.filter(bool), max_size=3),
    mirrors=st.just(()) | st.just(("https://example.org/m",)),
)


@pytest.mark.slow
@settings(deadline=None)
@given(CARDS)
def test_a_card_that_is_written_is_read(card: Card) -> None:
    assert parse_card(card_text(card).encode(), "readme.md") == card


def test_a_card_of_caffe_s_zoo_is_read_and_keeps_what_cafx_does_not_know() -> None:
    card = parse_card(CAFFENET, "readme.md")
    assert (card.name, card.license, card.weights) == (
        "BAIR/BVLC CaffeNet Model",
        "unrestricted",
        "bvlc_reference_caffenet.caffemodel",
    )
    stated = card.files["bvlc_reference_caffenet.caffemodel"]
    assert stated.sha1 == "4c8d77deb20ea792f84eb5e6d0a11ca0a8660a46"
    assert stated.urls == ("http://dl.caffe.berkeleyvision.org/bvlc_reference_caffenet.caffemodel",)
    assert not card.is_complete
    text = card_text(card)
    assert "caffe_commit: 709dc15af4a06bebda027c1eb2b3f3e3375d5077" in text
    assert "license: other\nlicense_name: unrestricted\n" in text


def test_a_card_is_a_card_of_the_hub() -> None:
    hub = pytest.importorskip("huggingface_hub", reason="needs the extra hub")
    weights = Stated(3, "0" * 64, "1" * 40)
    card = Card(
        "X",
        "# X\n",
        "bsd-2-clause",
        ("caffe",),
        "image-classification",
        {"accuracy": 0.5},
        weights="w.caffemodel",
        files={"w.caffemodel": weights},
        mirrors=("https://example.org/x/",),
        preprocessing={"crop": [2, 2]},
    )
    theirs = hub.ModelCard(card_text(card))
    data = theirs.data.to_dict()
    assert (data["license"], data["library_name"], data["pipeline_tag"]) == (
        "bsd-2-clause",
        "cafx",
        "image-classification",
    )
    assert (data["tags"], data["metrics"]) == (["caffe"], ["accuracy"])
    assert (data["caffemodel"], data["sha1"]) == ("w.caffemodel", "1" * 40)
    assert data["caffemodel_url"] == "https://example.org/x/w.caffemodel"
    assert theirs.text == "# X\n"
    read = parse_card(str(theirs).encode(), "x").files["w.caffemodel"]
    assert (read.size, read.sha256, read.sha1) == (weights.size, weights.sha256, weights.sha1)


def front(text: str) -> bytes:
    return f"---\n{text}\n---\n".encode()


BOMB = "\n".join([f"a0: &a0 [{'x, ' * 9}x]", *(f"a{n}: &a{n} [{f'*a{n - 1}, ' * 9}*a{n - 1}]" for n in range(1, 10))])
MERGES = "\n".join(["a0: &a0 {x: 1}", *(f"a{n}: &a{n} {{<<: [*a{n - 1}, *a{n - 1}]}}" for n in range(1, 40))])
FILE = "cafx: {{files: {{{name}: {{size: {size}, sha256: '{sha}'}}}}}}"
HOSTILE = {
    "no front matter": (b"# A model\n", "front matter"),
    "not text": (b"---\nname: \xff\n---\n", "not UTF-8"),
    "a bomb of aliases": (front(BOMB), "anchor or alias"),
    "a bomb of merges": (front(MERGES), "anchor or alias"),
    "code": (front("name: !!python/object/apply:os.system ['touch /tmp/x']"), "tag"),
    "a tag": (front("name: !!binary aGVsbG8="), "tag"),
    "deep": (front("a: " + "[" * 5000), "too deep"),
    "deep, by indentation": (front("\n".join(" " * n + f"a{n}:" for n in range(300))), "too deep"),
    "many values": (front("a: [" + "1," * 60_000 + "1]"), "too many values"),
    "long": (front("a: " + "x" * 300_000), "has 300,004 characters"),
    "very long": (b"x" * (3 << 20), "too long"),
    "a long number": (front("a: " + "9" * 5000), "5,000 digits"),
    "a long number to the base of 60": (front("a: 1" + ":10" * 30_000), "digits"),
    "a long hexadecimal name": (front("name: 0x" + "f" * 5000), "digits"),
    "not YAML": (front("name: [1, 2"), "line "),
    "a list": (front("- 1"), "not a table"),
    "a key that is a list": (front("? [a]\n: 1"), "front matter"),
    "a number as a key": (front("1: 2"), "not a table"),
    "a name that is a table": (front("name: {a: 1}"), "'name' of the card"),
    "a long name": (front("name: " + "x" * 500), "at most 300"),
    "an escape": (front("caffemodel: ../../.bashrc"), "'caffemodel' of the card"),
    "an absolute path": (front("cafx: {net: /etc/passwd}"), "'net' of the card"),
    "a hidden file": (front(FILE.format(name=".netrc", size=1, sha="0" * 64)), "names of files"),
    "the card itself": (front(FILE.format(name="README.md", size=1, sha="0" * 64)), "names of files"),
    "one file twice": (front("cafx: {files: {A.txt: {}, a.TXT: {}}}"), "each once"),
    "a backslash": (front("caffemodel: '..\\\\x'"), "'caffemodel'"),
    "a control character": (front('caffemodel: "x\\e[2Jy"'), "'caffemodel'"),
    "a negative size": (front(FILE.format(name="w", size=-1, sha="0" * 64)), "'size' of the card"),
    "a huge size": (front(FILE.format(name="w", size=1 << 60, sha="0" * 64)), "'size' of the card"),
    "a size that is true": (front(FILE.format(name="w", size="true", sha="0" * 64)), "'size' of the card"),
    "a short digest": (front(FILE.format(name="w", size=1, sha="00")), "'sha256' of the card"),
    "a digest that is a number": (
        front("cafx: {files: {w: {sha256: " + "1" * 64 + "}}}"),
        "'sha256' of the card.*quotes",
    ),
    "files that are a list": (front("cafx: {files: [w]}"), "'files' of the card"),
    "many files": (front("cafx: {files: {" + ",".join(f"f{n}: {{}}" for n in range(1500)) + "}}"), "at most 1000"),
    "a metric that is not a number": (front("cafx: {metrics: {a: .nan}}"), "'metrics: a'"),
    "a mirror that is a file": (front("cafx: {mirrors: ['file:///etc/']}"), "'mirrors' of the card"),
    "layers that are a list": (front("cafx: {layers: [ReLU]}"), "'layers' of the card"),
}


@pytest.mark.slow
@pytest.mark.parametrize(("data", "match"), HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_card_is_refused_in_one_line(data: bytes, match: str) -> None:
    with pytest.raises(CafxError, match=match) as caught:
        parse_card(data, "readme.md")
    assert "\n" not in str(caught.value)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.slow
@settings(deadline=None, max_examples=200)
@given(
    st.text(max_size=60) | st.from_regex(r"(name|cafx|tags|files): [\[\]{}&*!:,'\"a-z0-9<>|\n -]{0,40}", fullmatch=True)
)
def test_any_front_matter_is_read_or_refused(text: str) -> None:
    with contextlib.suppress(CafxError):
        card = parse_card(front(text.encode("utf-8", "replace").decode()), "readme.md")
        assert all(is_file_name(name) for name in card.files)
        assert all(math.isfinite(value) for value in card.metrics.values())


@pytest.mark.parametrize(
    ("url", "local", "right"),
    [
        ("https://example.org/x", False, True),
        ("http://example.org/x", True, False),
        ("http://127.0.0.1:80/x", True, True),
        ("http://127.0.0.1:80/x", False, False),
        ("http://localhost.example.org/", True, False),
        ("https://a:b@example.org/", False, False),
        ("https://example.org:99999/", False, False),
        ("https:///x", False, False),
        ("https://example.org/a b", False, False),
        ("https://example.org/\r\nHost: x", False, False),
        ("https://[::1", False, False),
        ("file:///etc/passwd", True, False),
        ("https://example.org/" + "x" * 3000, False, False),
    ],
)
def test_only_https_is_read_and_what_a_person_runs_here(url: str, local: bool, right: bool) -> None:
    if right:
        assert check_url(url, local) == url
        return
    with pytest.raises(CafxError) as caught:
        check_url(url, local)
    assert len(str(caught.value)) < 400
    assert "b@" not in str(caught.value)


@given(st.text(max_size=50))
def test_an_address_is_shown_without_secrets(text: str) -> None:
    shown: Any = shown_url(f"https://u:pa55@example.org/{text.replace('/', '')}?key=pa55")
    assert shown.isprintable()
    assert "pa55" not in shown or "pa55" in text
