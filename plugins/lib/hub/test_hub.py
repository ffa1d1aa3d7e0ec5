"""Models of a Hub: a server on this machine that answers as the Hugging Face Hub does."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from cafx.conformance import plugin_suite
from cafx.kernel import CafxError
from cafx_lib_hub import Hub
from cafx_lib_zoo import Card, ModelFolder, Store, Wish, get, open_source, publish
from cafx_lib_zoo.testing import FAST, Site, redirected, running

TestHub = plugin_suite("source", "hf")

SHA, OLD = "a" * 40, "b" * 40
WEIGHTS = b"weights" * 1000


@pytest.fixture
def site(monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    with running() as found:
        monkeypatch.setattr(constants, "ENDPOINT", found.address)
        yield found


@pytest.fixture
def model(tmp_path: Path) -> ModelFolder:
    card = Card("lenet", license="mit", weights="lenet.caffemodel")
    return publish(tmp_path / "m", card, {"deploy.prototxt": b'name: "x"', "lenet.caffemodel": WEIGHTS}, hub=True)


def put(site: Site, files: dict[str, bytes], commit: str = SHA, revision: str = "") -> None:
    """Put files into the repository org/lenet."""
    entries: list[dict[str, Any]] = []
    for name, data in files.items():
        lfs = {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data), "pointerSize": 130}
        entries.append({"rfilename": name, "size": len(data)} | ({"lfs": lfs} if name.endswith("model") else {}))
        site.files[f"/org/lenet/resolve/{commit}/{name}"] = data
    answer = {
        "id": "org/lenet",
        "modelId": "org/lenet",
        "sha": commit,
        "siblings": entries,
        "tags": [],
        "private": False,
    }
    site.files[f"/api/models/org/lenet{revision}?blobs=true"] = json.dumps(answer).encode()


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_a_published_model_comes_back_and_no_token_is_sent(site: Site, model: ModelFolder, tmp_path: Path) -> None:
    files = contents(model.path)
    assert sorted(files) == ["README.md", "deploy.prototxt", "lenet.caffemodel"]
    put(site, {**files, "../evil": b"x", "sub/folder.txt": b"y"})
    got = get(Wish(open_source("hf:org/lenet", FAST)), Store(tmp_path / "cache/models"))
    assert {name.lower(): data for name, data in contents(got.path).items()} == {n.lower(): d for n, d in files.items()}
    assert not [headers for headers in site.headers if "authorization" in {key.lower() for key in headers}]


def test_a_revision_is_one_commit(site: Site, model: ModelFolder, tmp_path: Path) -> None:
    put(site, contents(model.path), OLD, "/revision/v1.0")
    get(Wish(open_source("hf:org/lenet@v1.0", FAST)), Store(tmp_path / "cache/models"))
    assert {path.split("/")[4] for path, _ in site.requests if "resolve" in path} == {OLD}


def test_large_files_are_verified_by_the_hub_s_digests_and_redirects_followed(site: Site, tmp_path: Path) -> None:
    put(site, {"README.md": b"---\nname: x\ncaffemodel: w.caffemodel\n---\n", "w.caffemodel": WEIGHTS})
    path = f"/org/lenet/resolve/{SHA}/w.caffemodel"
    site.files["/storage"] = WEIGHTS
    site.special[path] = redirected("/storage")
    got = get(Wish(open_source("hf:org/lenet", FAST)), Store(tmp_path / "a/models"))
    assert contents(got.path)["w.caffemodel"] == WEIGHTS
    site.files["/storage"] = WEIGHTS[::-1]
    with pytest.raises(CafxError, match="is not the file that the card states"):
        get(Wish(open_source("hf:org/lenet", FAST)), Store(tmp_path / "b/models"))


def test_what_is_not_there_is_explained_in_one_line(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(code: str) -> Any:
        def answer(handler: Any) -> None:
            handler.send_response(404)
            handler.send_header("X-Error-Code", code)
            handler.end_headers()

        return answer

    site.special["/api/models/org/none?blobs=true"] = missing("RepoNotFound")
    site.special["/api/models/org/none/revision/v9?blobs=true"] = missing("RevisionNotFound")
    site.files["/api/models/org/odd?blobs=true"] = b"<html>"
    cases = [("org/none", "no such public model"), ("org/none@v9", "no such revision"), ("org/odd", "cannot be read")]
    for address, match in cases:
        with pytest.raises(CafxError, match=match) as caught:
            Hub(address, FAST).card()
        assert str(caught.value).isprintable()
    for address in ("lenet", "../x/y", "org/..", "a/b/c", "org/x@../../y", ""):
        with pytest.raises(CafxError, match="is not the name of a model"):
            open_source(f"hf:{address}")
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    with pytest.raises(CafxError, match=r"the Hub cannot be read: .*refused"):
        Hub("org/x", FAST).card()


def test_the_hub_is_searched(site: Site) -> None:
    found = [{"id": "org/lenet", "modelId": "org/lenet", "tags": ["cafx", "digits"]}]
    site.special = {}
    site.files |= {path: json.dumps(found).encode() for path in ("/api/models?filter=cafx&search=digits&limit=20",)}
    try:
        assert Hub.search("digits", FAST) == [{"name": "hf:org/lenet", "about": "cafx, digits"}]
    except CafxError:
        pytest.fail(f"asked for {site.requests}")
