"""What the schema is composed of, kept on disk until a plugin's file changes.

The kernel finds it as the role ``compositions``. With it, a net imports only the plugins that it uses: which fields and
messages the other ones add to the schema is read from here.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Iterable, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import attrs
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from cafx.kernel.registry import API_DISTRIBUTION, API_VERSION, Plugin, Registry
from cafx.kernel.schema import AddedNames, Composition
from cafx_lib_cache import Cache, default_folder

FOLDER = "schema"
LIMIT = 4 << 20
"""Bytes of all compositions kept; one has about 70 kB."""
OWN = "cafx.kernel.schema"


class SavedCompositions:
    """The composition of the messages of some plugins, on disk.

    It is an entry of plain values in the folder ``schema`` of cafx's cache. It names the files in which the messages
    are declared, and is valid while these are unchanged. No failure of the disk is an error.

    Args:
        plugins: the plugins of this environment; nothing is kept for others.
        declaring: those that declare messages.
    """

    def __init__(self, plugins: Registry, declaring: Sequence[Plugin]) -> None:
        self._plugins, self._declaring = plugins, declaring
        self._imported = set(sys.modules)
        self._cache = Cache(default_folder(FOLDER) if plugins.is_environment else None, LIMIT)
        self._key = _key(declaring)

    def read(self) -> Composition | None:
        """The composition; None if there is none, or a file has changed since."""
        content = self._cache.get(self._key)
        if content is None:
            return None
        saved: dict[str, Any] = json.loads(content)
        if saved.pop("digest") != _digest(saved.pop("files")):
            return None
        saved["added"] = AddedNames(**saved["added"])
        saved["descriptor"] = base64.b64decode(saved["descriptor"])
        return Composition(**saved)

    def write(self, composition: Composition) -> None:
        """Keep a composition, unless a plugin was left out of it: what that one lacks may be installed at any time."""
        if self._cache.folder is None or any(self._plugins.error(each) for each in self._declaring):
            return
        files = self._files()
        saved = {
            "files": files,
            "digest": _digest(files),
            **attrs.asdict(composition, filter=lambda field, _: field.init),
            "descriptor": base64.b64encode(composition.descriptor).decode(),
        }
        self._cache.put(self._key, json.dumps(saved).encode())

    def _files(self) -> list[str]:
        """The source files of the plugins, of what they share, and of the kernel's own messages."""
        declaring = {plugin.value.partition(":")[0].partition(".")[0] for plugin in self._declaring}
        foreign = _foreign()
        found = []
        for name, module in list(sys.modules.items()):
            top = name.partition(".")[0]
            new = name not in self._imported and top not in foreign and top not in sys.stdlib_module_names
            ours = name.startswith(OWN) if top == "cafx" else top in declaring or top.startswith("cafx_") or new
            path = getattr(module, "__file__", None)
            if ours and path and path.endswith(".py"):
                found.append(path)
        return sorted(found)


def _key(declaring: Iterable[Plugin]) -> str:
    """A name for these plugins in this environment."""
    claims = [(each.group, each.name, each.value, each.distribution, each.version) for each in declaring]
    place = (str(API_VERSION), sys.version, sys.prefix, os.environ.get("PYTHONPATH", ""), sys.modules[OWN].__file__)
    return hashlib.sha256(repr((place, sorted(claims))).encode()).hexdigest()


def _digest(files: Iterable[str]) -> str:
    """A digest of the contents of files; a missing one counts as empty."""
    found = hashlib.blake2b()
    for each in files:
        content = b""
        with contextlib.suppress(OSError):
            content = Path(each).read_bytes()
        found.update(f"{each}\0{len(content)}\0".encode())
        found.update(content)
    return found.hexdigest()


def _foreign() -> set[str]:
    """The modules of distributions that do not need the kernel."""
    return {module for module, names in metadata.packages_distributions().items() if not any(map(_needs_kernel, names))}


def _needs_kernel(distribution: str) -> bool:
    required = metadata.requires(distribution) or []
    return any(canonicalize_name(Requirement(each).name) == API_DISTRIBUTION for each in required)
