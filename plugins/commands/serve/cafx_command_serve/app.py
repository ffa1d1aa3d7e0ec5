"""The web application: the page, and its JSON interface."""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Any

import attrs
import numpy as np
from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cafx.kernel import CafxError
from cafx_command_serve.batching import Batcher, Full, NetFailed
from cafx_command_serve.fetching import Fetcher
from cafx_command_serve.hedging import Tree, softmax
from cafx_command_serve.limits import Limits, Refusal, header_size, preview, read_body, read_pixels
from cafx_command_serve.metrics import Metrics
from cafx_command_serve.model import Model
from cafx_command_serve.openapi import description
from cafx_command_serve.page import Page

Handler = Callable[[Request], Awaitable[Response]]
JSON_TYPE = "application/json"
FORM_TYPE = "multipart/form-data"
RETRY_SECONDS = 1
DECODERS, FETCHERS = 2, 4
MOST_TOP = 100
SMALL = 1 << 12
"""Pixels of a small image."""
MOST_FIELD = 4096
HEADERS = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


@attrs.frozen
class Service:
    """What is served, and how.

    Attributes:
        model: the net.
        limits: of requests.
        tree: the is-a tree of the classes; None for none.
        trade: λ of hedged answers.
        fetcher: fetches images by URL; None to refuse URLs.
        delay: seconds to wait for other requests' images; None for the time of a pass of the largest batch.
        top: number of answers.
        hosts: names under which browsers may reach the server; None for any.
        metrics: what has been done.
    """

    model: Model
    limits: Limits = attrs.field(factory=Limits)
    tree: Tree | None = None
    trade: float = 0.0
    fetcher: Fetcher | None = None
    delay: float | None = None
    top: int = 5
    hosts: tuple[str, ...] | None = None
    metrics: Metrics = attrs.field(factory=Metrics)

    def about(self) -> dict[str, Any]:
        """What the page says about the net."""
        return {
            "model": self.model.name or "net",
            "preprocessing": self.model.preprocessing.describe(),
            "classes": self.model.classes,
            "detects": self.model.detects,
            "hedges": self.tree is not None,
            "trade": self.trade,
            "urls": self.fetcher is not None,
            "most_bytes": self.limits.body,
        }


@attrs.frozen
class Picture:
    """An image of a request: the net's inputs, its size, and a small copy as a data URL if it was fetched."""

    inputs: Any
    height: int
    width: int
    preview: str | None


@attrs.frozen
class Scored:
    """The net's results for a request's image, and the seconds since the request began."""

    results: list[Any]
    picture: Picture
    seconds: float


def application(service: Service) -> Starlette:
    """The web application of a service."""
    interface = Interface(service)
    page = Page()

    async def index(_: Request) -> Response:
        return Response(page.html, media_type="text/html", headers={"Content-Security-Policy": page.policy})

    async def about(_: Request) -> Response:
        return JSONResponse(service.about())

    async def openapi(_: Request) -> Response:
        return JSONResponse(description(service.model.detects, service.limits))

    routes = [
        Route("/", interface.counted(index)),
        Route("/model", interface.counted(about)),
        Route("/openapi.json", interface.counted(openapi)),
        Route("/health", interface.health),
        Route("/metrics", interface.metrics),
        Route("/classify", interface.counted(interface.classify), methods=["POST"]),
        Route("/detect", interface.counted(interface.detect), methods=["POST"]),
    ]
    hosts = list(service.hosts) if service.hosts else ["*"]
    middleware = [Middleware(TrustedHostMiddleware, allowed_hosts=hosts, www_redirect=False)]
    return Starlette(routes=routes, middleware=middleware, lifespan=interface.lifespan)


class Interface:
    """The handlers of requests.

    Args:
        service: what is served.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self.model = service.model
        self.described = self.model.preprocessing.describe()
        self.runner = ThreadPoolExecutor(1, "net")
        self.decoders = ThreadPoolExecutor(DECODERS, "decode")
        self.fetchers = ThreadPoolExecutor(FETCHERS, "fetch")
        self.batcher = Batcher(
            self.model.run,
            self.runner,
            most=max(self.model.nets),
            limit=service.limits.waiting,
            delay=self.model.longest if service.delay is None else service.delay,
            observe=service.metrics.batches.observe,
        )

    @asynccontextmanager
    async def lifespan(self, _: Starlette) -> AsyncIterator[None]:
        """Run batches while the server runs."""
        task = asyncio.create_task(self.batcher.work())
        try:
            yield
        finally:
            task.cancel()
            for pool in (self.decoders, self.fetchers, self.runner):
                pool.shutdown(wait=False, cancel_futures=True)

    def counted(self, handler: Handler) -> Handler:
        """A handler whose refusals become answers, and which is counted."""

        async def handle(request: Request) -> Response:
            try:
                response = await handler(request)
            except Full:
                busy = Refusal(503, "too many requests are waiting: try again", RETRY_SECONDS)
                response = _refused(busy)
            except Refusal as refusal:
                response = _refused(refusal)
            except NetFailed as error:
                response = _refused(Refusal(500, f"the net failed: {error}"))
            self.service.metrics.request(request.url.path, response.status_code)
            for name, value in HEADERS.items():
                response.headers.setdefault(name, value)
            return response

        return handle

    async def health(self, _: Request) -> Response:
        """``GET /health``."""
        return JSONResponse({"status": "ok", "model": self.model.name, "active": self.batcher.active}, headers=HEADERS)

    async def metrics(self, _: Request) -> Response:
        """``GET /metrics``."""
        text = self.service.metrics.text(self.batcher.active)
        return Response(text, media_type="text/plain; version=0.0.4", headers=HEADERS)

    async def classify(self, request: Request) -> Response:
        """``POST /classify``."""
        if self.model.detects:
            raise Refusal(404, "this net detects objects: POST /detect")
        top = _number(request, "top", self.service.top, MOST_TOP)
        scored = await self._scored(request)
        scores = self.model.scores(scored.results)
        if not np.isfinite(scores).all():
            raise Refusal(500, "the net's scores are not finite")
        likely = softmax(scores)
        order = np.lexsort((np.arange(len(scores)), -scores))[:top]
        specific = [
            {"class": int(n), "label": self.model.label(n), "score": float(scores[n]), "probability": float(likely[n])}
            for n in order
        ]
        answer: dict[str, Any] = {"top": specific}
        if self.service.tree:
            ranked = self.service.tree.ranked(likely, self.service.trade, top)
            answer["hedged"] = [attrs.asdict(each) for each in ranked]
        return self._answer(answer, scored)

    async def detect(self, request: Request) -> Response:
        """``POST /detect``."""
        if not self.model.detects:
            raise Refusal(404, "this net classifies images: POST /classify")
        threshold = _fraction(request, "threshold", 0.5)
        scored = await self._scored(request)
        rows, size = np.concatenate(scored.results), (scored.picture.height, scored.picture.width)
        boxes = self.model.boxes(rows[np.isfinite(rows).all(1)], size, threshold)
        names = ("xmin", "ymin", "xmax", "ymax")
        found = [
            {"class": box.number, "label": box.label, "score": box.score, **dict(zip(names, box.corners, strict=True))}
            for box in boxes
        ]
        return self._answer({"boxes": found}, scored)

    def _answer(self, answer: dict[str, Any], scored: Scored) -> Response:
        self.service.metrics.seconds.observe(scored.seconds)
        picture = scored.picture
        image = {"height": picture.height, "width": picture.width}
        known = {"preprocessing": self.described, "model": self.model.name}
        shown = {"preview": picture.preview} if picture.preview else {}
        return JSONResponse({**answer, "image": image, "seconds": scored.seconds, **known, **shown})

    async def _scored(self, request: Request) -> Scored:
        begin = time.perf_counter()
        if request.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
            raise Refusal(403, "requests from pages of other sites are refused")
        with self.batcher.admitted() as admitted:
            body = await read_body(request, self.service.limits)
            data, fetched = await self._image(request, body)
            admitted.expect(coming=True)
            picture = await self._pictured(data, fetched)
            results = await admitted.submit(picture.inputs)
        return Scored(results, picture, time.perf_counter() - begin)

    async def _pictured(self, data: bytes, fetched: bool) -> Picture:
        """An image as the net's inputs; a small one is not worth a change of threads."""
        width, height = header_size(data) or (0, 0)
        if width * height <= SMALL:
            return self._picture(data, fetched)
        return await asyncio.get_running_loop().run_in_executor(self.decoders, self._picture, data, fetched)

    def _picture(self, data: bytes, fetched: bool) -> Picture:
        pixels = read_pixels(data, self.model.preprocessing.depth, self.service.limits)
        try:
            inputs = self.model.converter.apply(pixels)
        except CafxError as error:
            raise Refusal(400, f"{error.message}: {error.found}") from None
        return Picture(inputs, pixels.shape[0], pixels.shape[1], preview(pixels) if fetched else None)

    async def _image(self, request: Request, body: bytes) -> tuple[bytes, bool]:
        """The content of the image file that a request sends or names, and whether it was fetched."""
        kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if kind == FORM_TYPE:
            body, url = await _form(request, body)
        else:
            url = _url(body) if kind == JSON_TYPE else None
        if url is not None:
            if self.service.fetcher is None:
                raise Refusal(403, "images by URL are switched off: start the server with --allow-urls")
            loop = asyncio.get_running_loop()
            return await loop.run_in_executor(self.fetchers, self.service.fetcher.fetch, url), True
        if not body:
            raise Refusal(400, "the request has no image: send a file as its body, or as the field 'image' of a form")
        return body, False


def _refused(refusal: Refusal) -> Response:
    headers = {"Retry-After": str(refusal.retry_after)} if refusal.retry_after else {}
    if refusal.status in (403, 408, 413, 503):
        headers["Connection"] = "close"
    return JSONResponse({"error": refusal.message}, refusal.status, headers=headers)


async def _form(request: Request, body: bytes) -> tuple[bytes, str | None]:
    """The file ``image`` or the text ``url`` of a form."""

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": body, "more_body": False}

    from starlette.exceptions import HTTPException

    try:
        form = await Request(request.scope, receive).form(max_files=1, max_fields=2, max_part_size=MOST_FIELD)
    except HTTPException:
        raise Refusal(400, "the form cannot be read: it has one file 'image', or a text 'url'") from None
    image, url = form.get("image"), form.get("url")
    if isinstance(image, UploadFile):
        return await image.read(), None
    return b"", url if isinstance(url, str) and url else None


def _url(body: bytes) -> str:
    try:
        url = json.loads(body).get("url")
    except (ValueError, AttributeError, RecursionError):
        url = None
    if not isinstance(url, str):
        raise Refusal(400, 'the request is not JSON such as {"url": "https://…"}')
    return url


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, str(default))
    if not (text.isascii() and text.isdigit() and len(text) < 6 and 1 <= int(text) <= most):
        raise Refusal(400, f"{name} is not a number from 1 to {most}")
    return int(text)


def _fraction(request: Request, name: str, default: float) -> float:
    try:
        value = float(request.query_params.get(name, default))
    except ValueError:
        value = math.nan
    if not 0 <= value <= 1:
        raise Refusal(400, f"{name} is not a number from 0 to 1")
    return value
