"""Filler, the base class of filler plugins: initial values of parameters."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from cafx.kernel.blob import Blob
from cafx.kernel.crash import locating
from cafx.kernel.errors import CafxError
from cafx.kernel.net.context import Context
from cafx.kernel.schema import FillerParameter


class Filler:
    """An initialiser of parameters; a plugin of group ``cafx.fillers``.

    Class attributes:
        takes_sparse: whether the filler supports the option ``sparse``.

    Args:
        options: the FillerParameter.

    Raises:
        CafxError: ``sparse`` is set but not supported.

    Example:
        >>> class Ones(Filler):
        ...     def fill(self, shape, rng):
        ...         return np.full(shape, 1.0)
        >>> Ones(FillerParameter(type="ones")).fill((2,), np.random.default_rng(1)).tolist()
        [1.0, 1.0]
    """

    takes_sparse: ClassVar[bool] = False

    def __init__(self, options: FillerParameter) -> None:
        if options.sparse != -1 and not self.takes_sparse:
            raise CafxError(f"filler '{options.type}' has no sparse form", found=f"sparse: {options.sparse}")
        self.options = options

    def fill(self, shape: tuple[int, ...], rng: np.random.Generator) -> npt.NDArray[Any]:
        """Initial values of a parameter.

        Args:
            shape: shape of the parameter.
            rng: random generator of the parameter's stream.

        Raises:
            CafxError: the filler cannot fill this shape.
        """
        raise NotImplementedError


def fill(blob: Blob, options: FillerParameter, context: Context, where: str) -> None:
    """Initialise a blob from the random stream of its name.

    Args:
        blob: the blob.
        options: type and options of the filler.
        context: provides fillers and random streams.
        where: location for errors.

    Raises:
        CafxError: an unknown filler, or one that cannot fill this shape.
    """
    with locating(context.plugins, "filler", options.type, where):
        filler = context.plugins.load("filler", options.type)(options)
        values = filler.fill(blob.shape, context.streams[blob.name])
    blob.set_data(values)
