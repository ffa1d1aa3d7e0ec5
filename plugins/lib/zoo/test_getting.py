"""Getting models: verified, resumed, complete or not there."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import attrs
import pytest

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_lib_zoo import Card, ModelFolder, Store, Wish, get, lacking, open_source, publish
from cafx_lib_zoo.sources.gist import Gist
from cafx_lib_zoo.testing import FAST, Site, running, send, trickling, truncated

TestFile = plugin_suite("source", "file")
TestGist = plugin_suite("source", "gist")
TestHttps = plugin_suite("source", "https")

NET = b'name: "M"\nlayer { name: "x" type: "Input" top: "x" input_param { shape { dim: 1 dim: 2 } } }\n'
WEIGHTS = bytes(range(250)) * 4000
FILES: dict[str, Path | bytes] = {"deploy.prototxt": NET, "m.caffemodel": WEIGHTS}
CARD = Card("M", "A model.\n", "mit", weights="m.caffemodel")


@pytest.fixture
def site() -> Iterator[Site]:
    with running() as found:
        yield found


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    return publish(tmp_path / "published", CARD, FILES)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "cache/models")


def wish(source: str, **options: Any) -> Wish:
    return Wish(open_source(source, options.pop("limits", FAST)), **options)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_published_model_comes_back_from_a_folder_and_a_server(
    model: ModelFolder, site: Site, store: Store, tmp_path: Path
) -> None:
    url = site.serve(model.path)
    addresses = [str(model.path), f"file:{model.path}", f"file://{model.path}", url, url.rstrip("/"), f"{url}readme.md"]
    for address in addresses:
        got = get(wish(address), store)
        assert contents(got.path) == contents(model.path)
        assert got.path.parent == store.folders
    copied = get(wish(url, to=tmp_path / "here"), store)
    assert contents(copied.path) == contents(model.path)
    downloads = [path for path, _ in site.requests if path.endswith("caffemodel")]
    assert downloads == []  # the first source was the folder; a verified file is not read again


def test_what_is_there_is_verified_and_repaired(model: ModelFolder, site: Site, store: Store) -> None:
    url = site.serve(model.path)
    notices: list[str] = []
    got = get(wish(url), store)
    path = got.path / "m.caffemodel"
    path.chmod(0o600)
    path.write_bytes(WEIGHTS[:-1] + b"!")  # also the store's own file, by the hard link
    got = get(wish(url, notice=notices.append), store)
    assert (got.path / "m.caffemodel").read_bytes() == WEIGHTS
    assert "is not the file that the card states" in notices[0]
    assert [name for name, _ in site.requests].count("/m/m.caffemodel") == 2


def test_an_interrupted_download_continues(model: ModelFolder, site: Site, store: Store) -> None:
    url = site.serve(model.path)
    site.special["/m/m.caffemodel"] = truncated(WEIGHTS, 200_000)
    with pytest.raises(CafxError, match="continue"):
        get(wish(url), store)
    assert store.models() == []
    del site.special["/m/m.caffemodel"]
    get(wish(url), store)
    assert site.requests[-1] == ("/m/m.caffemodel", "bytes=600000-")


def test_a_changed_card_or_file_is_refused(model: ModelFolder, site: Site, store: Store) -> None:
    url = site.serve(model.path)
    digest = hashlib.sha256(site.files["/m/readme.md"]).hexdigest()
    assert get(wish(url, digest=digest), store).readme == site.files["/m/readme.md"]
    with pytest.raises(CafxError, match="the card is another one"):
        get(wish(url, digest="0" * 64), store)
    site.files["/m/readme.md"] = site.files["/m/readme.md"].replace(b"A model", b"Another")
    with pytest.raises(CafxError, match="the card is another one"):
        get(wish(url, digest=digest), store)
    site.files["/m/readme.md"] = site.files["/m/readme.md"].replace(
        hashlib.sha256(WEIGHTS).hexdigest().encode(), b"f" * 64
    )
    with pytest.raises(CafxError, match="is not the file that the card states"):
        get(wish(url), store)


def test_a_file_without_a_digest_is_refused_unless_wanted(site: Site, store: Store, tmp_path: Path) -> None:
    sha1 = hashlib.sha1(WEIGHTS, usedforsecurity=False).hexdigest()
    site.files |= {
        "/c/readme.md": f"---\nname: C\ncaffemodel: c.caffemodel\nsha1: {sha1}\n---\n".encode(),
        "/c/deploy.prototxt": NET,
        "/c/c.caffemodel": WEIGHTS,
    }
    with pytest.raises(CafxError, match=r"no digest of deploy\.prototxt.*--no-verify"):
        get(wish(f"{site.address}/c"), store)
    got = get(wish(f"{site.address}/c", verify=False), store)
    assert sorted(contents(got.path)) == ["c.caffemodel", "deploy.prototxt", "readme.md"]
    site.files["/c/c.caffemodel"] = WEIGHTS[::-1]
    with pytest.raises(CafxError, match="got sha1"):
        get(wish(f"{site.address}/c", verify=False), Store(tmp_path / "other/models"))


@pytest.mark.slow
def test_sizes_are_limited_in_total(model: ModelFolder, site: Site, store: Store) -> None:
    url = site.serve(model.path)
    with pytest.raises(CafxError, match="is too large: got 1,000,"):
        get(wish(url, limits=attrs.evolve(FAST, largest=1_000_000)), store)
    assert [name for name, _ in site.requests] == ["/m/readme.md"]
    site.files["/m/readme.md"] = b"x" * (3 << 20)
    with pytest.raises(CafxError, match="too large for what it should be"):
        get(wish(url), store)
    site.special["/m/readme.md"] = trickling(100)
    with pytest.raises(CafxError, match="too slow"):
        get(wish(url), store)


def test_mirrors_are_used_but_not_those_on_this_machine_for_a_card_from_elsewhere(
    model: ModelFolder, site: Site, store: Store, tmp_path: Path
) -> None:
    site.serve(model.path, "/mirror/")
    card = attrs.evolve(CARD, mirrors=(f"{site.address}/mirror",))
    mirrored = publish(tmp_path / "mirrored", card, FILES)
    (mirrored.path / "m.caffemodel").unlink()
    with pytest.raises(CafxError, match="cannot be trusted: not https"):
        get(wish(str(mirrored.path)), store)
    assert site.requests == []
    url = site.serve(mirrored.path)
    assert contents(get(wish(url), store).path)["m.caffemodel"] == WEIGHTS


def test_links_that_lead_out_of_a_folder_are_not_followed(model: ModelFolder, store: Store, tmp_path: Path) -> None:
    (tmp_path / "secret").write_bytes(WEIGHTS)
    (model.path / "m.caffemodel").unlink()
    (model.path / "m.caffemodel").symlink_to(tmp_path / "secret")
    with pytest.raises(CafxError, match="leads out of its folder"):
        get(wish(str(model.path)), store)
    assert "leads out of its folder" in str(model.damaged()[0])


def test_a_folder_that_is_there_is_not_overwritten(model: ModelFolder, store: Store, tmp_path: Path) -> None:
    (tmp_path / "to").mkdir()
    get(wish(str(model.path), to=tmp_path / "to"), store)
    before = contents(tmp_path / "to")
    for target in ("to", "published/readme.md"):
        with pytest.raises(CafxError, match="already exists"):
            get(wish(str(model.path), to=tmp_path / target), store)
    with pytest.raises(CafxError, match="already exists"):
        publish(tmp_path / "to", CARD, {})
    assert contents(tmp_path / "to") == before


def test_without_a_cache_a_folder_is_needed_and_nothing_else_is_left(model: ModelFolder, tmp_path: Path) -> None:
    with pytest.raises(CafxError, match="--to"):
        get(wish(str(model.path)), None)
    got = get(wish(str(model.path), to=tmp_path / "new/here"), None)
    assert contents(got.path) == contents(model.path)
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["here"]


def test_several_processes_may_get_the_same_model(model: ModelFolder, site: Site, store: Store) -> None:
    url = site.serve(model.path)
    held = threading.Event()

    def wait(handler: Any) -> None:
        held.wait(10)
        send(handler, WEIGHTS)

    site.special["/m/m.caffemodel"] = wait
    notices: list[str] = []
    results: list[Path] = []
    threads = [
        threading.Thread(
            target=lambda: results.append(
                get(wish(url, notice=notices.append, limits=attrs.evolve(FAST, timeout=20)), store).path
            )
        )
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    while not any("m.caffemodel" in each for each in notices):
        threading.Event().wait(0.01)
    held.set()
    for thread in threads:
        thread.join()
    assert notices[-1] == "waiting for another process that downloads m.caffemodel"
    assert len(set(results)) == 1
    assert contents(results[0]) == contents(model.path)
    assert [name for name, _ in site.requests].count("/m/m.caffemodel") == 1


def test_a_gist_is_listed_and_read(site: Site, store: Store, tmp_path: Path) -> None:
    sha1 = hashlib.sha1(WEIGHTS, usedforsecurity=False).hexdigest()
    card = f"---\nname: G\ncaffemodel: g.caffemodel\ncaffemodel_url: {site.address}/w\nsha1: {sha1}\n---\n"
    site.files |= {"/raw/readme.md": card.encode(), "/raw/deploy.prototxt": NET, "/w": WEIGHTS}
    listed = {
        name: {"raw_url": f"{site.address}/raw/{name}", "size": len(site.files[f"/raw/{name}"])}
        for name in ("readme.md", "deploy.prototxt")
    }
    listed["../evil"] = {"raw_url": f"{site.address}/raw/evil", "size": 1}
    site.files["/gists/0123456789abcdef"] = json.dumps({"files": listed}).encode()
    source = Gist("user/0123456789abcdef", FAST, f"{site.address}/gists", local=True)
    got = get(Wish(source, verify=False), store)
    assert sorted(contents(got.path)) == ["deploy.prototxt", "g.caffemodel", "readme.md"]
    for answer in (
        b"[]",
        b"{}",
        b'{"files": {"readme.md": 3}}',
        b'{"files": {"readme.md": {"raw_url": 3}}}',
        b"[" * 10**5,
    ):
        site.files["/gists/abcdef"] = answer
        with pytest.raises(CafxError, match="not that of a Gist"):
            Gist("abcdef", FAST, f"{site.address}/gists", local=True).card()
    (tmp_path / "secret").write_bytes(NET)
    for url in (str(tmp_path / "secret"), f"file://{tmp_path}/secret"):
        site.files["/gists/abcdef"] = json.dumps({"files": {"readme.md": {"raw_url": url}}}).encode()
        with pytest.raises(CafxError, match=r"names no address for 'readme.md'"):
            Gist("abcdef", FAST, f"{site.address}/gists", local=True).card()
        listed["deploy.prototxt"]["raw_url"] = url
        site.files["/gists/abcdef"] = json.dumps({"files": listed}).encode()
        with pytest.raises(CafxError, match=r"names no address for 'deploy.prototxt'"):
            get(Wish(Gist("abcdef", FAST, f"{site.address}/gists", local=True), verify=False), Store(tmp_path / "s/m"))
    with pytest.raises(CafxError, match="is not the ID of a Gist"):
        open_source("gist:../../x")


@pytest.mark.parametrize(
    ("address", "match"),
    [
        ("no/such/folder", "no such model"),
        ("http://example.org/x", "not https"),
        ("https://me:secret@example.org/x", "user name or password"),
        ("https://example.org/x?token=secret", "query or fragment"),
        ("ftp:x", r"unknown source 'ftp:'.*file:, gist:"),
        ("gits:x", "did you mean 'gist'"),
        ("file:/no/such", "no such folder"),
        ("x\x1b[2J", "no such model"),
        ("\0", "no such model"),
    ],
)
def test_a_wrong_address_is_explained_in_one_line(address: str, match: str) -> None:
    with pytest.raises(CafxError, match=match) as caught:
        open_source(address)
    text = str(caught.value)
    assert text.isprintable()
    assert "secret" not in text


def test_a_missing_layer_is_explained_without_the_publisher_s_advice() -> None:
    error = lacking({"ReLU": "cafx-layer-relu", "Foo": "evil-package"}, "model")
    assert error is not None
    assert "unknown layer type 'Foo'" in str(error)
    assert "evil-package" not in str(error)
    assert lacking({"ReLU": "evil-package"}, "model") is None


def test_a_folder_without_a_card_is_no_model(tmp_path: Path, store: Store) -> None:
    with pytest.raises(CafxError, match=r"has no readme\.md"):
        get(wish(str(tmp_path)), store)
    with pytest.raises(CafxError, match=r"has no readme\.md"):
        ModelFolder.read(tmp_path)
