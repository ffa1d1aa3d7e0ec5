"""Each check of the checklist of upgrades catches an upgrade that violates its requirement."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import attrs
import pytest

from cafx.conformance import load_checks
from cafx.conformance.catching import failures
from cafx.conformance.kinds.upgrade import UpgradeCase
from cafx.kernel import CafxError
from cafx.kernel.schema import Upgrade

CHECKS = load_checks("upgrade")
SHAPES = ({"rectifier": [(2, 3)]}, {"relu": [(2, 3)]})
OLD = 'name: "n" layer { name: "r" type: "Rectifier" bottom: "x" top: "y" }'
NEW = OLD.replace("Rectifier", "ReLU")


class Rectifier(Upgrade):
    """Replaces the layer type Rectifier by ReLU, and the parameters' name."""

    def upgrade_net(self, proto: Any, source: str) -> Any:
        """In place."""
        for layer in proto.layer:
            if layer.type == "Rectifier":
                if not layer.bottom:
                    raise CafxError("has no bottom", where=f"{source}: layer '{layer.name}'")
                layer.type = "ReLU"
        return proto

    def upgrade_weights(self, entries: Sequence[Any]) -> Sequence[Any]:
        """Another name."""
        return [attrs.evolve(each, name=each.name.replace("rectifier", "relu")) for each in entries]

    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        """A net, an error, weights."""
        yield UpgradeCase("rectifier", OLD, NEW)
        yield UpgradeCase("no-bottom", 'layer { type: "Rectifier" }', error="no bottom")
        yield UpgradeCase("weights", weights=SHAPES)


WRONG: list[tuple[str, type[Any]]] = []


def wrong(check: str) -> Any:
    """Register an upgrade that ``check`` must catch."""

    def register(upgrade: type[Any]) -> type[Any]:
        upgrade.__doc__ = upgrade.__doc__ or Rectifier.__doc__
        WRONG.append((check, upgrade))
        return upgrade

    return register


@wrong("entry-point")
class NoUpgrade:
    cases = Rectifier.cases


@wrong("docstring")
class Undocumented(Rectifier):
    """Rectifies."""


@wrong("cases")
class WithoutCases(Rectifier):
    @classmethod
    def cases(cls) -> Iterable[UpgradeCase]:
        return ()


@wrong("upgrades")
class Lazy(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        return proto


@wrong("idempotent")
class Counting(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        proto = super().upgrade_net(proto, source)
        proto.name += "+"
        return proto


@wrong("current")
class Renaming(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        proto = super().upgrade_net(proto, source)
        proto.name = "upgraded"
        return proto


@wrong("current")
class Meddling(Rectifier):
    def upgrade_weights(self, entries: Sequence[Any]) -> Sequence[Any]:
        return [attrs.evolve(each, name=each.name.replace("conv", "convolution")) for each in entries]


@wrong("current")
class Solving(Rectifier):
    def upgrade_solver(self, proto: Any, source: str) -> Any:
        proto.display = 20
        return proto


@wrong("unknown-fields")
class Rebuilding(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        made = type(proto)(name=proto.name)
        for layer in super().upgrade_net(proto, source).layer:
            made.layer.add().CopyFrom(layer)
        return made


@wrong("unknown-fields")
class RebuildingLayers(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        for layer in super().upgrade_net(proto, source).layer:
            layer.DiscardUnknownFields()
        return proto


@wrong("errors")
class Nameless(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        return super().upgrade_net(proto, "a net")


@wrong("errors")
class Raw(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        for layer in proto.layer:
            assert layer.bottom
        return super().upgrade_net(proto, source)


@wrong("errors")
class Lenient(Rectifier):
    def upgrade_net(self, proto: Any, source: str) -> Any:
        return proto


@wrong("weights")
class Forgetting(Rectifier):
    def upgrade_weights(self, entries: Sequence[Any]) -> Sequence[Any]:
        return entries


@wrong("weights")
class Growing(Rectifier):
    def upgrade_weights(self, entries: Sequence[Any]) -> Sequence[Any]:
        return [*super().upgrade_weights(entries), *[each for each in entries if each.name == "relu"]]


@pytest.mark.slow
@pytest.mark.parametrize(("check_id", "upgrade"), WRONG, ids=lambda each: getattr(each, "__name__", each))
def test_the_check_catches_it(check_id: str, upgrade: type[Any]) -> None:
    assert failures("upgrade", upgrade, check_id)


@pytest.mark.parametrize("check_id", CHECKS)
def test_a_correct_upgrade_passes(check_id: str) -> None:
    assert failures("upgrade", Rectifier, check_id) == []


def test_a_net_that_changes_on_the_way_is_caught(monkeypatch: pytest.MonkeyPatch) -> None:
    from cafx.kernel.schema import Schema

    monkeypatch.setattr(Schema, "to_text", lambda self, proto: 'name: "other"')
    assert failures("upgrade", Rectifier, "round-trip")


def test_every_check_is_seen_to_fail() -> None:
    assert {check_id for check_id, _ in WRONG} | {"round-trip"} == set(CHECKS)
