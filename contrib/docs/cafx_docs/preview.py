"""Preview of the built site over HTTP, for this machine only."""

from __future__ import annotations

import functools
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import click

from cafx.kernel import CafxError

HOST = "127.0.0.1"


class Quiet(SimpleHTTPRequestHandler):
    """Serves files, without a log line per request."""

    def log_message(self, format: str, *values: object) -> None:  # noqa: A002 - http.server's name for it
        """Print nothing."""


def server_of(site: Path, port: int) -> ThreadingHTTPServer:
    """A server of a site, bound to the loopback address.

    Args:
        site: folder with an ``index.html``.
        port: port, or 0 for a free one.

    Raises:
        CafxError: nothing is built there, or the port is taken.
    """
    if not (site / "index.html").is_file():
        raise CafxError("the site is not built", where=str(site), remedy="run: cafx-docs build")
    try:
        return ThreadingHTTPServer((HOST, port), functools.partial(Quiet, directory=str(site)))
    except OSError as error:
        raise CafxError(f"port {port}: {error.strerror}", remedy="choose another with --port") from error


def serve_site(site: Path, port: int) -> None:
    """Serve a site until Ctrl-C; arguments and errors as for `server_of`."""
    with server_of(site, port) as server:
        click.echo(f"http://{HOST}:{server.server_port}/  (Ctrl-C stops)")
        server.serve_forever()
