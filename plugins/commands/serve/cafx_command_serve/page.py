"""The page: one file, and the policy by which browsers run nothing but what is in it."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path

import attrs

FILE = Path(__file__).with_name("page.html")
INLINE = re.compile(r"<(style|script)>(.*?)</\1>", re.DOTALL)


def _html() -> str:
    return FILE.read_text("utf-8")


@attrs.frozen
class Page:
    """The page and its Content-Security-Policy.

    Attributes:
        html: the page, which is the same for every net: what it shows, it asks for as JSON.
    """

    html: str = attrs.field(factory=_html)

    @property
    def policy(self) -> str:
        """Only the page's own style and script, by their hashes; requests to its server only.

        Example:
            >>> Page("<style>a</style>").policy.split("; ")[:2]
            ["default-src 'none'", "style-src 'sha256-ypeBEsobvcr6wjGzmiPcTaeG7/gUfE5yuYB3ha/uSLs='"]
        """
        hashes: dict[str, list[str]] = {"style": [], "script": []}
        for kind, text in INLINE.findall(self.html):
            digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
            hashes[kind].append(f"'sha256-{digest}'")
        sources = [f"{kind}-src {' '.join(found)}" for kind, found in hashes.items() if found]
        rest = ["img-src blob: data:", "connect-src 'self'", "base-uri 'none'", "form-action 'none'"]
        return "; ".join(["default-src 'none'", *sources, *rest, "frame-ancestors 'none'"])
