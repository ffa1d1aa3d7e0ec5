"""``https://HOST/FOLDER/``: a model on a web server, as plain files."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote, urlsplit

from cafx.kernel import CafxError
from cafx_lib_zoo.names import CARDS, check_url, is_loopback, shown_url
from cafx_lib_zoo.sources import Source
from cafx_lib_zoo.web import Limits, Web

if TYPE_CHECKING:
    from cafx.conformance.kinds.source import SourceCase


class Https(Source):
    """A folder of a web server, or its readme.md.

    Args:
        address: its URL; http only for a server on this machine.
        limits: what reading may take.
    """

    def __init__(self, address: str, limits: Limits) -> None:
        super().__init__(shown_url(address), limits)
        local = is_loopback(address)
        check_url(address, local)
        if urlsplit(address).query or urlsplit(address).fragment:
            remedy = "name the folder, and the files are looked for in it"
            raise CafxError("has a query or fragment", where=self.title, remedy=remedy)
        folder, _, last = address.rpartition("/")
        self._base = folder if last.lower() == CARDS[0] or not last else address
        self.web = Web(limits, local)

    def place(self, name: str) -> str:
        """The address of a file."""
        return f"{self._base}/{quote(name)}"

    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        """A web server on this machine."""
        from cafx.conformance.kinds.source import SourceCase
        from cafx_lib_zoo.testing import FAST, on_site

        def serve(folder: Path, files: Mapping[str, bytes], escapes: Mapping[str, bytes]) -> Any:
            def put(site: Any) -> tuple[Any, Any]:
                site.files = {f"/m/{name}": data for name, data in files.items()}
                return partial(cls, f"{site.address}/m", FAST), partial(cls, f"{site.address}/none", FAST)

            return on_site(put)

        yield SourceCase("server", serve, ["http://example.org/m", "https://example.org/m?x=1", "https://"])
