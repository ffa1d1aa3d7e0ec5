"""Parts that the kernel asks of plugins of group ``cafx.roles``, and does without where there are none."""

from __future__ import annotations

import logging
from typing import Any

from cafx.kernel.registry import Registry

ADVICE_ROLE, SHOW_ROLE, DEBUG_ROLE = "advice", "show", "debug_info"


def advise(plugins: Registry, log: logging.Logger, subject: str, *about: Any) -> None:
    """Log what role ``advice`` says of something that runs, but hardly as intended.

    Args:
        plugins: where it is found.
        log: where the warnings go.
        subject: name of its function, which returns the warnings: ``of_definition``, ``of_net`` or ``of_solver``.
        about: the function's arguments.
    """
    advice = plugins.role(ADVICE_ROLE)
    for warning in getattr(advice, subject)(*about) if advice else ():
        log.warning("%s", warning)


def debug_observer(net: Any, plugins: Registry) -> Any:
    """What logs the mean magnitude of every blob of a net, as role ``debug_info`` makes it.

    Args:
        net: the net.
        plugins: where the role is found.

    Raises:
        CafxError: there is none.
    """
    return plugins.load("role", DEBUG_ROLE)(net)


def html_of(thing: Any, plugins: Registry) -> str | None:
    """A blob, net or solver in a notebook, as role ``show`` presents it; None without that role.

    Args:
        thing: what is shown.
        plugins: where the role is found.
    """
    show = plugins.role(SHOW_ROLE)
    return show.html(thing) if show else None


def curve_of(monitors: Any, plugins: Registry) -> Any:
    """The monitor of role ``show`` that keeps the course of the loss, attached; None without that role.

    Args:
        monitors: the solver's `Monitors`.
        plugins: where the role is found.
    """
    show = plugins.role(SHOW_ROLE)
    curve = show.Curve() if show else None
    if curve is not None:
        monitors.add(curve)
    return curve
