"""Fields that several forks of Caffe, or single repositories, add to Caffe's messages."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from cafx.kernel import Message, option
from cafx.kernel.schema import Dialect, extends, ignored, read_by, rewritten

if TYPE_CHECKING:
    from cafx.conformance.kinds.dialect import DialectCase

__version__ = "0.1.0"
CEIL, FLOOR = 0, 1
NO_SETTING = ignored("training does not depend on it here")


def round_mode(pooling: Any) -> None:
    """``ceil_mode: false`` is ``round_mode: FLOOR``."""
    pooling.round_mode = CEIL if pooling.ceil_mode else FLOOR


@extends("PoolingParameter")
class CommonPooling(Message):
    """Rounding and dilation."""

    ceil_mode: bool = option(
        1013, "bool", True, doc="round output sizes up", effect=rewritten(round_mode, "round_mode: CEIL or FLOOR")
    )
    dilation: tuple[int, ...] = option(
        None, "uint32", repeated=True, doc="distance of a window's values, one or per axis", effect=read_by("Pooling")
    )


@extends("DropoutParameter")
class CommonDropout(Message):
    """Where values are scaled, and whether tests drop too (SegNet, Intel)."""

    sample_weights_test: bool = option(
        2, "bool", False, doc="drop values in TEST phase too (Bayesian SegNet)", effect=read_by("Dropout")
    )
    scale_train: bool = option(
        3, "bool", True, doc="scale kept values while training; if false, all values in TEST", effect=read_by("Dropout")
    )


@extends("MemoryDataParameter")
class CommonMemoryData(Message):
    """Shapes with any number of axes."""

    dim: tuple[int, ...] = option(
        None,
        "uint32",
        repeated=True,
        doc="shape of a batch, instead of the other options",
        effect=read_by("MemoryData"),
    )


@extends("DataParameter")
class CommonData(Message):
    """Order of reading."""

    shuffle_pool_size: int = option(
        None,
        "uint32",
        1,
        doc="batches in the pool from which records are drawn",
        effect=ignored("records come in the order of the database; convert-imageset --shuffle mixes them"),
    )


@extends("NetParameter")
class CommonNet(Message):
    """Notes about a net."""

    richness: int = option(None, "int32", doc="a note about the net", effect=ignored("it is a note"))


class Common(Dialect):
    """Fields found in many real files, of several forks."""

    fork = "several forks"
    declares = (CommonPooling, CommonDropout, CommonMemoryData, CommonData, CommonNet)

    @classmethod
    def cases(cls) -> Iterable[DialectCase]:
        """Both ways of rounding."""
        from cafx.conformance.kinds.dialect import DialectCase

        for value, mode in (("true", "CEIL"), ("false", "FLOOR")):
            text = f"kernel_size: 2 ceil_mode: {value}"
            yield DialectCase(f"ceil-{value}", text, f"kernel_size: 2 round_mode: {mode}", "PoolingParameter")
