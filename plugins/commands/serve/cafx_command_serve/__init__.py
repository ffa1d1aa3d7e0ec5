"""``cafx serve``: a net as a web page and a JSON interface."""

from cafx_command_serve.command import serve

__all__ = ["serve"]
