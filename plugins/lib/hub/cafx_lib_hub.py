"""``hf:ORG/NAME`` or ``hf:ORG/NAME@REVISION``: public models of the Hugging Face Hub.

The Hub's own library finds files, sizes and digests; they are downloaded, limited and verified as from any other
source. No token is sent: what is private stays so.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from unittest import mock
from urllib.parse import quote

from huggingface_hub import HfApi, constants
from huggingface_hub.errors import HTTPError, RepositoryNotFoundError, RevisionNotFoundError  # type: ignore[attr-defined]

from cafx.kernel import CafxError
from cafx.kernel.files import shown
from cafx_lib_zoo import Limits, Source, Stated
from cafx_lib_zoo.names import CARDS, is_file_name, is_loopback
from cafx_lib_zoo.web import Web

if TYPE_CHECKING:
    from cafx.conformance.kinds.source import SourceCase

ADDRESS = re.compile(r"([\w.-]{1,96}/[\w.-]{1,96})(?:@([\w./-]{1,100}))?")
MOST_FOUND = 20


class Hub(Source):
    """A model repository.

    Args:
        address: ``ORG/NAME``, perhaps with ``@`` and a branch, tag or commit.
        limits: what reading may take.
    """

    cards = CARDS[::-1]

    def __init__(self, address: str, limits: Limits) -> None:
        super().__init__(f"hf:{shown(address)[:120]}", limits)
        found = ADDRESS.fullmatch(address)
        if not found or ".." in address:
            raise CafxError(
                "is not the name of a model", where=self.title, expected="hf:ORG/NAME or hf:ORG/NAME@REVISION"
            )
        self._repository, self._revision = found[1], found[2]
        self._commit = ""
        self._files: dict[str, Stated] | None = None
        self.web = Web(limits, is_loopback(constants.ENDPOINT))

    def place(self, name: str) -> str:
        """The address of a file at the commit that was found first, so that all files are of one revision."""
        self.names()
        return f"{constants.ENDPOINT}/{self._repository}/resolve/{quote(self._commit, safe='')}/{quote(name)}"

    def names(self) -> Mapping[str, Stated]:
        """The repository's files, with sizes, and digests of large ones."""
        if self._files is None:
            info = self._ask()
            self._commit = info.sha or self._revision or "main"
            found = {each.rfilename: each for each in info.siblings or ()}
            self._files = {name: _stated(each) for name, each in found.items() if _is_wanted(name)}
        return self._files

    @classmethod
    def search(cls, word: str, limits: Limits) -> list[dict[str, Any]]:
        """Models with the library's tag that match a word."""
        try:
            found = HfApi(endpoint=constants.ENDPOINT, token=False).list_models(
                filter="cafx", search=word, limit=MOST_FOUND
            )
            return [{"name": f"hf:{each.id}", "about": ", ".join((each.tags or ())[:6])} for each in found]
        except (HTTPError, OSError, RuntimeError) as error:
            raise _unreadable("hf:", error) from None

    def _ask(self) -> Any:
        api = HfApi(endpoint=constants.ENDPOINT, token=False)
        timeout = self.web.limits.timeout
        try:
            return api.model_info(self._repository, revision=self._revision, files_metadata=True, timeout=timeout)
        except RevisionNotFoundError:
            raise CafxError(
                "there is no such revision", where=self.title, remedy="leave out '@…' for the newest"
            ) from None
        except RepositoryNotFoundError:
            remedy = "check its name; private models cannot be read"
            raise CafxError("there is no such public model", where=self.title, remedy=remedy) from None
        except (HTTPError, OSError, RuntimeError, ValueError) as error:
            raise _unreadable(self.title, error) from None

    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        """A server on this machine that answers as the Hub does."""
        from cafx.conformance.kinds.source import SourceCase
        from cafx_lib_zoo.testing import FAST, on_site

        def serve(folder: Path, files: Mapping[str, bytes], escapes: Mapping[str, bytes]) -> Any:
            def put(site: Any) -> tuple[Any, Any]:
                site.files = {f"/org/m/resolve/{'a' * 40}/{name}": data for name, data in files.items()}
                listed = [{"rfilename": name, "size": len(data)} for name, data in {**files, **escapes}.items()]
                answer = {"id": "org/m", "modelId": "org/m", "sha": "a" * 40, "siblings": listed, "tags": []}
                site.files["/api/models/org/m?blobs=true"] = json.dumps(answer).encode()
                return partial(cls, "org/m", FAST), partial(cls, "org/none", FAST)

            return on_site(put, lambda site: mock.patch.object(constants, "ENDPOINT", site.address))

        yield SourceCase("hub", serve, ["", "lenet", "../x/y", "a/b/c"])


def _unreadable(title: str, error: Exception) -> CafxError:
    reason = shown(str(error).strip().split("\n", 1)[0])[:160] or type(error).__name__
    return CafxError(f"the Hub cannot be read: {reason}", where=title, remedy="check the network")


def _is_wanted(name: str) -> bool:
    return is_file_name(name) or name in CARDS


def _stated(entry: Any) -> Stated:
    """What the Hub states of a file: of large ones their SHA-256, which is their name in its storage."""
    size = entry.size if type(entry.size) is int and entry.size >= 0 else None
    sha256 = getattr(entry.lfs, "sha256", None)
    return Stated(size, sha256 if isinstance(sha256, str) and re.fullmatch("[0-9a-f]{64}", sha256) else None)
