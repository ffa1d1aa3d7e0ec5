"""The checklist of sources of models.

>>> from cafx.conformance import plugin_suite
>>> TestFile = plugin_suite("source", "file")
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import attrs

from cafx.conformance.kinds.common import common_checks
from cafx.conformance.suite import CheckFailure, Subject, check
from cafx.kernel import CafxError
from cafx_lib_zoo.names import CARDS, is_file_name
from cafx_lib_zoo.sources import Source
from cafx_lib_zoo.testing import FAST

KIND = "source"
FILES = {
    "readme.md": b"---\nname: small\nlicense: mit\n---\nA small model.\n",
    "deploy.prototxt": b'name: "small"\n',
    "small.caffemodel": b"weights" * 100,
}
"""The model that a case serves."""
ESCAPES = {"../escape.prototxt": b"no", "sub/escape.prototxt": b"no"}
"""Files that a hostile place lists besides, where it can."""
OFFLINE = """
import socket, sys
def refuse(*_, **__):
    sys.exit("connects to the network")
socket.socket.connect = socket.socket.connect_ex = socket.getaddrinfo = refuse
import {module}
"""


@attrs.frozen
class SourceCase:
    """A place with a model.

    Args:
        name: a short name, unique among the source's cases.
        serve: called with an empty folder, the files of a model, and names that lead out of it; a context manager
            that gives the source of the model, and that of one that does not exist, each made by the class.
        malformed: addresses, without scheme, that are no addresses.
        skip: the ids of checks that this case fails, with the reason for each.
    """

    name: str
    serve: Callable[
        [Path, Mapping[str, bytes], Mapping[str, bytes]],
        AbstractContextManager[tuple[Callable[[], Source], Callable[[], Source]]],
    ]
    malformed: Sequence[str] = ()
    skip: Mapping[str, str] = attrs.field(factory=dict)


common_checks(KIND, Source)


@contextlib.contextmanager
def served(case: SourceCase) -> Iterator[tuple[Source, Callable[[], Source]]]:
    """The source of a model, and how to open that of one that does not exist."""
    with contextlib.ExitStack() as stack:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="cafx-source-"))
        good, absent = stack.enter_context(case.serve(Path(folder), FILES, ESCAPES))
        yield good(), absent


@check("scheme", "the entry point is named after the scheme of its addresses", kind=KIND, per_case=False)
def scheme(subject: Subject) -> None:
    if not subject.type.isalnum() or subject.type != subject.type.lower():
        raise CheckFailure(f"'{subject.type}' is not the scheme of an address: lower-case letters and digits only")


@check("malformed", "a malformed address is a CafxError", kind=KIND)
def malformed(subject: Subject, case: SourceCase) -> None:
    for address in case.malformed:
        try:
            subject.thing(address, FAST)
        except CafxError as error:
            if not str(error).isprintable():
                raise CheckFailure(f"the error for {address!r} is not printable: {error!r}") from None
        except Exception as error:
            raise CheckFailure(f"address {address!r} raises {type(error).__name__}: {error}") from error
        else:
            raise CheckFailure(f"address {address!r} is accepted")
    if not case.malformed:
        raise CheckFailure("the case has no malformed address")


@check("card", "the card is that of the model", kind=KIND)
def card(subject: Subject, case: SourceCase) -> None:
    with served(case) as (source, _):
        if source.card() != FILES[CARDS[0]]:
            raise CheckFailure("card() returns other bytes than the readme.md that is served")


@check("files", "each file is where the source says; sizes and digests that it states are right", kind=KIND)
def files(subject: Subject, case: SourceCase) -> None:
    with served(case) as (source, _):
        listed = source.names()
        for name, data in FILES.items():
            place = source.found(name)
            found = Path(place).read_bytes() if source.local else source.web.read(place, 1 << 20)
            if found != data:
                raise CheckFailure(f"at the place of {name} there is something else")
            if listed is None:
                continue
            if name not in {each.lower() for each in listed}:
                raise CheckFailure(f"names() does not list {name}")
            stated: Any = next(value for each, value in listed.items() if each.lower() == name)
            digest = hashlib.sha256(data).hexdigest()
            if stated.size not in (None, len(data)) or stated.sha256 not in (None, digest):
                raise CheckFailure(f"names() states another size or digest of {name}: {stated}")


@check("escapes", "no name that leads out of the model is listed", kind=KIND)
def escapes(subject: Subject, case: SourceCase) -> None:
    with served(case) as (source, _):
        for name in source.names() or ():
            if not is_file_name(name) and name.lower() != CARDS[0]:
                raise CheckFailure(f"names() lists {name!r}")
        try:
            place = source.found("link.prototxt")
        except CafxError:
            return
        if source.local and not Path(place).resolve().is_relative_to(Path(source.found("readme.md")).parent.resolve()):
            raise CheckFailure("a link that leads out of the folder is followed")


@check("missing", "a model that does not exist is a CafxError that names it", kind=KIND)
def missing(subject: Subject, case: SourceCase) -> None:
    with served(case) as (_, opened):
        try:
            opened().card()
        except CafxError as error:
            if not error.where:
                raise CheckFailure(f"the error does not say where: {error}") from None
        except Exception as error:
            raise CheckFailure(f"a missing model raises {type(error).__name__}: {error}") from error
        else:
            raise CheckFailure("a model that does not exist has a card")


@check("offline", "importing the plugin does not use the network", kind=KIND, per_case=False)
def offline(subject: Subject) -> None:
    module = subject.plugin.value.partition(":")[0]
    program = OFFLINE.format(module=module)
    ended = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, timeout=120)
    if "connects to the network" in ended.stderr:
        raise CheckFailure(f"importing {module} connects to the network")
