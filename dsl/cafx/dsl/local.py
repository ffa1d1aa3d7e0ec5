"""Layer classes that a net.py defines."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, TypeVar

from cafx.dsl.place import short_path, user_place
from cafx.kernel.errors import CafxError
from cafx.kernel.net import Layer
from cafx.kernel.registry import HERE, Plugin, registry

L = TypeVar("L", bound=type[Layer])


def layer(cls: L) -> L:
    """Class decorator: make a layer class available to the nets of this process, under the class's name.

    It suits a layer that one net.py needs; ``cafx new layer NAME`` makes a package of one that others need too.
    Decorating a class of the same name again, as a notebook's cell does, replaces the first.

    Args:
        cls: a subclass of `cafx.kernel.Layer`.

    Returns:
        ``cls``.

    Raises:
        CafxError: not a layer class, or an installed plugin has its name.

    >>> import cafx.dsl
    >>> from cafx.dsl import NetSpec, layers as L
    >>> from cafx.kernel import Net, NeuronLayer
    >>> @cafx.dsl.layer
    ... class Halve(NeuronLayer):
    ...     '''y = x / 2.'''
    ...
    ...     def forward(self, bottom, top):
    ...         top[0].mutable_data[...] = bottom[0].data / 2
    ...
    ...     def backward(self, top, propagate_down, bottom):
    ...         if propagate_down[0]:
    ...             bottom[0].mutable_diff[...] = top[0].diff / 2
    >>> n = NetSpec()
    >>> n.x = L.Input(shape=[2])
    >>> n.y = L.Halve(n.x)
    >>> Net(n).forward(x=[1, 2])["y"].tolist()
    [0.5, 1.0]

    ``registry().remove("layer", name)`` takes it back.

    >>> from cafx.kernel import registry
    >>> registry().remove("layer", "Halve")
    """
    if not (isinstance(cls, type) and issubclass(cls, Layer)):
        raise CafxError("cafx.dsl.layer", where=user_place(), found=repr(cls), expected="a subclass of Layer")
    installed = [each for each in registry().plugins("layer") if each.name == cls.__name__ and not is_local(each)]
    if installed:
        raise CafxError(
            f"layer type '{cls.__name__}' is already provided by {installed[0].distribution}",
            where=user_place(),
            remedy="give the class another name",
        )
    registry().add("layer", cls.__name__, cls)
    return cls


def is_local(plugin: Plugin) -> bool:
    """Whether a plugin was registered by this process, rather than installed."""
    return plugin.distribution == HERE


def local_layers(net: Any) -> dict[str, str]:
    """The layer types of a net that this process has registered, with the file that defines each.

    Args:
        net: a NetParameter message.
    """
    local = {plugin.name for plugin in registry().plugins("layer") if is_local(plugin)}
    used = dict.fromkeys(layer.type for layer in net.layer if layer.type in local)
    return {name: _file(registry().load("layer", name)) for name in used}


def _file(cls: type) -> str:
    try:
        path = inspect.getsourcefile(cls)
    except TypeError:
        path = None
    return short_path(str(Path(path))) if path else cls.__module__
