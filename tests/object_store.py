"""Object stores on 127.0.0.1 that speak S3's protocol: one of our own, and moto's where it is installed."""

import http.server
import os
import socket
import subprocess
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import parse_qs, unquote, urlsplit
from urllib.request import urlopen
from xml.sax.saxutils import escape

from pyarrow.fs import S3FileSystem

PAGE = 7  # keys per answer: listings go on over several


class _Handler(http.server.BaseHTTPRequestHandler):
    objects: dict[str, bytes]
    refuse: bool
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.refuse:
            return self._answer(403, b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>")
        url = urlsplit(self.path)
        if "list-type=2" in url.query:
            return self._answer(200, self._list(unquote(url.path).strip("/"), parse_qs(url.query)))
        content = self.objects.get(unquote(url.path).lstrip("/"))
        if content is None:
            return self._answer(404, b"<Error><Code>NoSuchKey</Code><Message>gone</Message></Error>")
        first, _, last = self.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")
        part = content[int(first) : int(last) + 1 if last else None]
        return self._answer(206 if "Range" in self.headers else 200, part, size=len(content))

    do_HEAD = do_GET

    def _list(self, bucket: str, query: dict[str, list[str]]) -> bytes:
        prefix, after = (query.get(name, [""])[0] for name in ("prefix", "continuation-token"))
        names = sorted(
            name.removeprefix(f"{bucket}/") for name in self.objects if name.startswith(f"{bucket}/{prefix}")
        )
        names = [name for name in names if name.removeprefix(f"{bucket}/") > after]
        page = "".join(f"<Contents><Key>{escape(name)}</Key><Size>1</Size></Contents>" for name in names[:PAGE])
        more = f"<NextContinuationToken>{escape(names[PAGE - 1])}</NextContinuationToken>" if names[PAGE:] else ""
        truncated = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        return f"<ListBucketResult>{truncated}{more}{page}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes, size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.send_header("Content-Type", "application/xml" if size is None else "application/octet-stream")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@contextmanager
def serve_own(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve objects, named `bucket/key`; changes of the dictionary are seen at once. `!refuse` in it refuses all."""

    class Handler(_Handler):
        pass

    Handler.objects = objects
    Handler.refuse = property(lambda _: "!refuse" in objects)  # type: ignore[assignment]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()


def find_moto() -> str | None:
    """moto's server, if somebody names one; our own stands for it otherwise, as botocore refuses our dateutil."""
    return os.environ.get("CONVLENS_TEST_MOTO")


@contextmanager
def serve_moto(objects: dict[str, bytes], folder: Path) -> Iterator[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with (folder / "moto.log").open("w") as log:
        command = [str(find_moto()), "-H", "127.0.0.1", "-p", str(port)]
        server = subprocess.Popen(command, stdout=log, stderr=log)
    try:
        address = f"http://127.0.0.1:{port}"
        _wait_for(address)
        _fill(port, objects)
        yield address
    finally:
        server.kill()
        server.wait()


def _wait_for(address: str) -> None:
    deadline = time.monotonic() + 120
    while True:
        try:
            urlopen(address, timeout=5).close()
            return
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)


def _fill(port: int, objects: dict[str, bytes]) -> None:
    store = S3FileSystem(
        access_key="test",
        secret_key="test",
        region="us-east-1",
        scheme="http",
        endpoint_override=f"127.0.0.1:{port}",
        allow_bucket_creation=True,
    )
    for bucket in {name.split("/")[0] for name in objects}:
        store.create_dir(bucket)
    for name, content in objects.items():
        with store.open_output_stream(name) as stream:
            stream.write(content)
