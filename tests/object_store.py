"""An object store on 127.0.0.1 that speaks S3's protocol."""

import http.server
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit
from xml.sax.saxutils import escape

PAGE = 7  # keys per answer: listings go on over several


class _Handler(http.server.BaseHTTPRequestHandler):
    objects: dict[str, bytes]
    parts: dict[str, bytes]
    refuse: bool
    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        """Takes an object, or a part of a large one."""
        content = self.rfile.read(int(self.headers["Content-Length"]))
        url = urlsplit(self.path)
        part = parse_qs(url.query).get("partNumber")
        if part:
            self.parts[f"{url.path} {int(part[0]):05d}"] = content
        else:
            self.objects[unquote(url.path).lstrip("/")] = content
        self._answer(200, b"")

    def do_POST(self) -> None:
        """Begins or ends the upload of a large object; one at a time per name."""
        self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        if "uploads" in url.query:
            return self._answer(200, b"<R><UploadId>1</UploadId></R>")
        parts = sorted(name for name in self.parts if name.startswith(f"{url.path} "))
        self.objects[unquote(url.path).lstrip("/")] = b"".join(self.parts.pop(name) for name in parts)
        return self._answer(200, b"<R></R>")

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
        prefix, after, delimiter = (query.get(name, [""])[0] for name in ("prefix", "continuation-token", "delimiter"))
        names = [name.removeprefix(f"{bucket}/") for name in self.objects if name.startswith(f"{bucket}/{prefix}")]
        entries = sorted({_folder(name, prefix) if delimiter else name for name in names})
        entries = [name for name in entries if name > after]
        page = "".join(map(_entry, entries[:PAGE]))
        more = f"<NextContinuationToken>{escape(entries[PAGE - 1])}</NextContinuationToken>" if entries[PAGE:] else ""
        truncated = f"<IsTruncated>{'true' if more else 'false'}</IsTruncated>"
        return f"<ListBucketResult>{truncated}{more}{page}</ListBucketResult>".encode()

    def _answer(self, status: int, body: bytes, size: int | None = None) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Wed, 01 Jan 2025 00:00:00 GMT")
        self.send_header("Content-Type", "application/xml" if size is None else "application/octet-stream")
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


def _folder(name: str, prefix: str) -> str:
    """The folder below the prefix that a key lies in, with its `/`; the key itself if it lies at the prefix."""
    head, slash, _ = name.removeprefix(prefix).partition("/")
    return f"{prefix}{head}{slash}"


def _entry(name: str) -> str:
    if name.endswith("/"):
        return f"<CommonPrefixes><Prefix>{escape(name)}</Prefix></CommonPrefixes>"
    return f"<Contents><Key>{escape(name)}</Key><Size>1</Size></Contents>"


@contextmanager
def serve_own(objects: dict[str, bytes]) -> Iterator[str]:
    """Serve objects, named `bucket/key`; changes of the dictionary are seen at once. `!refuse` in it refuses all."""

    class Handler(_Handler):
        pass

    Handler.objects, Handler.parts = objects, {}
    Handler.refuse = property(lambda _: "!refuse" in objects)  # type: ignore[assignment]
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
