"""Tensors of a graph of cuDNN's frontend."""

from __future__ import annotations

from collections.abc import Sequence

from .cudnn_names import DataType
from .library_memory import BFLOAT16, FLOAT, Kind, Operand

KINDS: dict[DataType, Kind] = {DataType.FLOAT: FLOAT, DataType.BFLOAT16: BFLOAT16}
"""The types that the stand-in computes with."""
CHANNELS_LAST, CHANNELS_FIRST = "NHWC", "NCHW"
INNERMOST_FIRST = {CHANNELS_LAST: (1, 3, 2, 0), CHANNELS_FIRST: (3, 2, 1, 0)}


class Tensor:
    """A tensor: an operand in memory, or a value that exists within the graph only (virtual).

    Setters return the tensor.
    """

    def __init__(
        self,
        dim: Sequence[int] = (),
        stride: Sequence[int] = (),
        data_type: DataType = DataType.NOT_SET,
        is_virtual: bool = False,
        name: str = "",
        uid: int | None = None,
    ) -> None:
        self._dim = integers(dim)
        self._stride = integers(stride)
        self._data_type = data_type
        self._is_virtual = is_virtual
        self._name = name
        self.uid = uid

    def __repr__(self) -> str:
        uid = "no uid" if self.uid is None else f"uid {self.uid}"
        return f"<tensor {self._name!r} ({uid}) {self._dim} strides {self._stride} {self._data_type.name}>"

    def set_dim(self, dim: Sequence[int]) -> Tensor:
        """Set the lengths of the axes: N, C, H, W, however they lie in memory."""
        self._dim = integers(dim)
        return self

    def get_dim(self) -> list[int]:
        """The lengths of the axes."""
        return list(self._dim)

    def set_stride(self, stride: Sequence[int]) -> Tensor:
        """Set the strides, in numbers."""
        self._stride = integers(stride)
        return self

    def get_stride(self) -> list[int]:
        """The strides, in numbers."""
        return list(self._stride)

    def set_data_type(self, data_type: DataType) -> Tensor:
        """Set the type of the numbers."""
        if not isinstance(data_type, DataType):
            raise TypeError(f"set_data_type: {data_type!r} is not a cudnn.data_type")
        self._data_type = data_type
        return self

    def get_data_type(self) -> DataType:
        """The type of the numbers."""
        return self._data_type

    def set_is_virtual(self, is_virtual: bool) -> Tensor:
        """Set whether the tensor exists within the graph only."""
        self._is_virtual = bool(is_virtual)
        return self

    def get_is_virtual(self) -> bool:
        """Whether the tensor exists within the graph only."""
        return self._is_virtual

    def set_output(self, is_output: bool) -> Tensor:
        """Set whether the graph stores the tensor."""
        return self.set_is_virtual(not is_output)

    def set_uid(self, uid: int) -> Tensor:
        """Set the number by which variant packs name the tensor."""
        (self.uid,) = integers([uid])
        return self

    def get_uid(self) -> int:
        """The number by which variant packs name the tensor; 0 before it has one."""
        return self.uid or 0

    def set_name(self, name: str) -> Tensor:
        """Set the name."""
        self._name = name
        return self

    def get_name(self) -> str:
        """The name."""
        return self._name

    def validate(self) -> None:
        """Raise ValueError unless dims and strides are set and agree."""
        if not self._dim:
            raise ValueError(f"Tensor '{self._name}' dims not set.")
        if not self._stride:
            raise ValueError(f"Tensor '{self._name}' strides not set.")
        if len(self._dim) != len(self._stride):
            raise ValueError(f"Tensor '{self._name}' does not equal dimensionality in dim and stride.")

    @property
    def kind(self) -> Kind:
        """What is stored."""
        return KINDS[self._data_type]

    def operand(self, address: int) -> Operand:
        """The tensor at an address."""
        return Operand(address, tuple(self._dim), tuple(self._stride), self.kind)

    def layouts(self) -> frozenset[str]:
        """Which of NHWC and NCHW the strides of a 4-D tensor are like; slices of wider tensors count.

        Example:
            >>> sorted(Tensor([2, 3, 4, 4], [160, 1, 40, 10]).layouts())
            ['NHWC']
        """
        return frozenset(name for name, axes in INNERMOST_FIRST.items() if self._lies(axes))

    def _lies(self, innermost_first: Sequence[int]) -> bool:
        inner = innermost_first[0]
        if self._dim[inner] > 1 and self._stride[inner] != 1:
            return False
        reach = 1
        for axis in innermost_first:
            if self._dim[axis] > 1:
                if self._stride[axis] < reach:
                    return False
                reach = self._stride[axis] * self._dim[axis]
        return True


def integers(values: Sequence[int]) -> list[int]:
    """A list of plain ints, as the binding converts it; TypeError for anything else."""
    if any(isinstance(value, float) or not hasattr(value, "__index__") for value in values):
        raise TypeError(f"incompatible function arguments: {values!r} is not a list of integers")
    return [value.__index__() for value in values]


def packed_channels_last(dim: Sequence[int]) -> list[int]:
    """The strides the frontend chooses where none were set: channels innermost.

    Example:
        >>> packed_channels_last([2, 3, 4, 5])
        [60, 1, 15, 3]
    """
    stride, reach = [1] * len(dim), 1
    for axis in (1, *range(len(dim) - 1, 1, -1), 0) if len(dim) > 1 else range(len(dim)):
        stride[axis], reach = reach, reach * dim[axis]
    return stride
