"""Each check of the checklist of sources catches a source that violates its requirement."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.source import SourceCase
from cafx.kernel import CafxError
from cafx_lib_zoo.card import Stated
from cafx_lib_zoo.sources.file import Folder
from cafx_lib_zoo.testing import FAST, in_folder

CHECKS = load_checks("source")


class Shelf(Folder):
    """A model in a folder, as Folder has it."""

    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        """A folder."""

        def serve(folder: Path, files: Mapping[str, bytes], escapes: Mapping[str, bytes]) -> Any:
            return in_folder(folder, files, lambda path: partial(cls, str(path), FAST))

        yield SourceCase("folder", serve, ["/nonexistent/model"])


WRONG: list[tuple[str, str, type[Any]]] = []


def wrong(check: str, name: str = "shelf") -> Any:
    """Register a source that ``check`` must catch."""

    def register(source: type[Any]) -> type[Any]:
        source.__doc__ = source.__doc__ or Shelf.__doc__
        WRONG.append((check, name, source))
        return source

    return register


@wrong("entry-point")
class NoSource:
    cases = Shelf.cases


@wrong("docstring")
class Undocumented(Shelf):
    """A shelf."""


@wrong("cases")
class WithoutCases(Shelf):
    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        return ()


@wrong("scheme", "my/shelf")
class Misnamed(Shelf):
    pass


@wrong("malformed")
class Lenient(Shelf):
    def __init__(self, address: str, limits: Any) -> None:
        super().__init__(address if Path(address).is_dir() else "/", limits)


@wrong("malformed")
class Raising(Shelf):
    def __init__(self, address: str, limits: Any) -> None:
        if not Path(address).is_dir():
            raise KeyError(address)
        super().__init__(address, limits)


@wrong("malformed")
class NothingMalformed(Shelf):
    @classmethod
    def cases(cls) -> Iterable[SourceCase]:
        return [SourceCase("folder", next(iter(super().cases())).serve)]


@wrong("card")
class OwnCard(Shelf):
    def card(self) -> bytes:
        return b"---\nname: mine\n---\n"


@wrong("files")
class Elsewhere(Shelf):
    def place(self, name: str) -> str:
        return super().place("readme.md")


@wrong("files")
class WrongSizes(Shelf):
    def names(self) -> Mapping[str, Stated]:
        return dict.fromkeys(super().names(), Stated(1))


@wrong("files")
class NothingListed(Shelf):
    def names(self) -> Mapping[str, Stated]:
        return {"readme.md": Stated(None)}


@wrong("escapes")
class ListsAll(Shelf):
    def names(self) -> Mapping[str, Stated]:
        return {**super().names(), "../outside.prototxt": Stated(2)}


@wrong("escapes")
class Follows(Shelf):
    def place(self, name: str) -> str:
        return str(self.folder / name)


@wrong("missing")
class Empty(Lenient):
    def card(self) -> bytes:
        return b""


@wrong("missing")
class Nowhere(Shelf):
    def __init__(self, address: str, limits: Any) -> None:
        try:
            super().__init__(address, limits)
        except CafxError:
            raise CafxError("there is none") from None


@wrong("missing")
class Failing(Raising):
    pass


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "name", "source"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, name: str, source: type[Any]) -> None:
    assert failures("source", source, check_id, name=name)


@pytest.mark.parametrize("check_id", [each for each in CHECKS if each != "offline"])
def test_a_correct_source_passes(check_id: str) -> None:
    assert failures("source", Shelf, check_id, name="shelf") == []


@pytest.mark.parametrize("connects", [True, False])
def test_a_module_that_connects_when_it_is_imported_is_caught(
    connects: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    line = 'socket.create_connection(("localhost", 9))' if connects else "Shelf = None"
    (tmp_path / "shelf_of_test.py").write_text(f"import socket\n{line}\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    module = type("Module", (Shelf,), {"__doc__": Shelf.__doc__, "__module__": "shelf_of_test"})
    assert bool(failures("source", module, "offline", name="shelf")) is connects


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, *_ in WRONG} | {"offline"} == set(CHECKS)
