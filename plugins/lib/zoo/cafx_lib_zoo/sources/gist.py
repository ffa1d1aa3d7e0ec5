"""``gist:ID`` or ``gist:ID@REVISION``: a model as Caffe's users shared it, as a Gist with readme.md and prototxts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cafx.kernel import CafxError
from cafx_lib_zoo.card import Stated
from cafx_lib_zoo.names import is_file_name, shown_url
from cafx_lib_zoo.sources import Source
from cafx_lib_zoo.web import Limits, Web

if TYPE_CHECKING:
    from cafx.conformance.kinds.source import SourceCase

API = "https://api.github.com/gists"
ADDRESS = re.compile(r"(?:[\w-]{1,80}/)?([0-9a-f]{5,64})(?:@([0-9a-f]{40}))?")
MOST = 8 << 20
"""Bytes of the answer, which contains small files."""


class Gist(Source):
    """A Gist; the weights are where its readme says.

    Args:
        address: its ID, perhaps behind ``USER/``, and perhaps a revision, by which it cannot change.
        limits: what reading may take.
        api: where Gists are asked for.
        local: whether that is on this machine.
    """

    def __init__(self, address: str, limits: Limits, api: str = API, local: bool = False) -> None:
        super().__init__(f"gist:{shown_url(address)[:80]}", limits)
        found = ADDRESS.fullmatch(address)
        if not found:
            raise CafxError("is not the ID of a Gist", where=self.title, expected="gist:ID or gist:ID@REVISION")
        self.web = Web(limits, local)
        self._url = f"{api}/{found[1]}" + (f"/{found[2]}" if found[2] else "")
        self._files: dict[str, tuple[str, Stated]] | None = None

    def place(self, name: str) -> str:
        """The address of a file."""
        for each, (url, _) in self._listed().items():
            if each == name:
                return url
        raise CafxError(f"has no file '{name}'", where=self.title)

    def names(self) -> Mapping[str, Stated]:
        """The files of the Gist, with their sizes."""
        return {name: stated for name, (_, stated) in self._listed().items()}

    def _listed(self) -> dict[str, tuple[str, Stated]]:
        if self._files is None:
            try:
                files = json.loads(self.web.read(self._url, MOST))["files"]
                self._files = {name: _file(entry) for name, entry in files.items() if _is_wanted(name)}
            except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
                raise CafxError("the answer is not that of a Gist", where=shown_url(self._url)) from None
        return self._files

    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        """A server on this machine that answers as GitHub does."""
        from cafx.conformance.kinds.source import SourceCase
        from cafx_lib_zoo.testing import FAST, on_site

        def serve(folder: Path, files: Mapping[str, bytes], escapes: Mapping[str, bytes]) -> Any:
            def put(site: Any) -> tuple[Any, Any]:
                site.files = {f"/raw/{name}": data for name, data in files.items()}
                names = {**files, **escapes}
                listed = {name: {"raw_url": f"{site.address}/raw/{name}", "size": len(names[name])} for name in names}
                site.files["/gists/abcde"] = json.dumps({"files": listed}).encode()
                opened = partial(cls, limits=FAST, api=f"{site.address}/gists", local=True)
                return partial(opened, "abcde"), partial(opened, "fffff")

            return on_site(put)

        yield SourceCase("gist", serve, ["", "xyz", "../abcde", "abcde@main"])


def _is_wanted(name: str) -> bool:
    return is_file_name(name) or name.lower() == "readme.md"


def _file(entry: Mapping[str, Any]) -> tuple[str, Stated]:
    url, size = entry["raw_url"], entry.get("size")
    if not isinstance(url, str):
        raise TypeError
    return url, Stated(size if type(size) is int and size >= 0 else None)
