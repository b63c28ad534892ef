"""A web site on 127.0.0.1 that cuts connections, changes its content and lies, as a test asks it to."""

import hashlib
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np

CONTENT = np.random.default_rng(0).bytes(300_000)
OTHER = np.random.default_rng(1).bytes(300_000)


@dataclass
class Site:
    """What the server does with its next requests, and what it was asked.

    `answers` is used up one by one; the last stays.
    """

    url: str = ""
    answers: list[Callable[["Handler"], None]] = field(default_factory=list)
    asked: list[dict[str, str | None]] = field(default_factory=list)


class Handler(BaseHTTPRequestHandler):
    site: Site

    def do_GET(self) -> None:
        self.site.asked.append({name: self.headers.get(name) for name in ("Range", "If-Range", "Accept-Encoding")})
        answer = self.site.answers.pop(0) if len(self.site.answers) > 1 else self.site.answers[0]
        answer(self)
        self.close_connection = True

    def log_message(self, *_: Any) -> None:
        pass


@contextmanager
def open_site() -> Iterator[Site]:
    site = Site()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"site": site}))
    site.url = f"http://127.0.0.1:{server.server_address[1]}/photos.zip"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def serve(
    content: bytes = CONTENT, *, etag: str | None = '"v1"', ranges: bool = True, cut: int | None = None, shift: int = 0
) -> Callable[[Handler], None]:
    """An answer: `content`, truncated after `cut` bytes; ranges are honoured for the right `etag`."""

    def answer(request: Handler) -> None:
        wanted = request.headers.get("Range")
        start = 0
        if ranges and wanted and request.headers.get("If-Range") == etag:
            start = int(wanted.removeprefix("bytes=").removesuffix("-"))
        if start >= len(content):
            request.send_response(416)
            request.end_headers()
            return
        request.send_response(206 if start else 200)
        if start:
            last = len(content) - 1
            request.send_header("Content-Range", f"bytes {start + shift}-{last}/{len(content)}")
        if etag:
            request.send_header("ETag", etag)
        request.send_header("Content-Length", str(len(content) - start))
        request.end_headers()
        request.wfile.write(content[start:] if cut is None else content[start : start + cut])

    return answer


def status(code: int) -> Callable[[Handler], None]:
    def answer(request: Handler) -> None:
        request.send_response(code)
        request.send_header("Content-Length", "0")
        request.end_headers()

    return answer


def redirect(url: str) -> Callable[[Handler], None]:
    def answer(request: Handler) -> None:
        request.send_response(302)
        request.send_header("Location", url)
        request.end_headers()

    return answer


def sha(content: bytes = CONTENT) -> str:
    return hashlib.sha256(content).hexdigest()
