"""The client of `benchmarks/serve.py` against servers that lose, confuse and change responses."""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from pathlib import Path
from typing import ClassVar

import pytest
import serve

from convlens.errors import ConvLensError


class Handler(BaseHTTPRequestHandler):
    """Answers every request with how many characters it had; some it treats badly."""

    protocol_version = "HTTP/1.1"
    numbers = count()
    broken: ClassVar[dict[int, str]] = {}

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        trouble = self.broken.get(next(self.numbers))
        if trouble == "lost":
            self.close_connection = True
            return
        answer = json.dumps({"predictions": [len(body) + (trouble == "wrong")]}).encode()
        self.send_response(500 if trouble == "failed" else 200)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def address() -> Iterator[str]:
    Handler.numbers, Handler.broken = count(), {}
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.fixture
def photos(tmp_path: Path) -> list[Path]:
    for number in range(3):
        (tmp_path / f"{number}.jpg").write_bytes(b"x" * (10 + 30 * number))
    return sorted(tmp_path.iterdir())


def test_a_good_server_loses_nothing(address: str, photos: list[Path]) -> None:
    result = serve.load_server(address, photos, num_requests=20, num_clients=4, photos_per_request=2)
    assert (result["num_lost"], result["num_wrong"], result["first_failure"]) == (0, 0, "")
    assert result["photos_per_second"] == pytest.approx(2 * result["requests_per_second"])
    assert result["memory_megabytes"] > 10  # of this process, which is the server, too
    assert next(Handler.numbers) == 20 + len(photos)


def test_lost_and_wrong_responses_are_counted(address: str, photos: list[Path]) -> None:
    Handler.broken = {5: "lost", 7: "wrong", 9: "failed", 10: "wrong"}
    result = serve.load_server(address, photos, num_requests=20, num_clients=3)
    assert (result["num_lost"], result["num_wrong"]) == (2, 2)
    told = serve.format_load({**result, "memory_megabytes": None}).splitlines()
    assert told[0] == "20 requests of 1 photo each, 3 at a time"
    assert told[1].endswith("; 2 lost, 2 wrong")
    assert told[2:] == ["memory of the server: unknown", result["first_failure"]]


@pytest.mark.parametrize("given", ["127.0.0.1:5001", "https://example.org", "http://"])
def test_the_address_is_checked(given: str, photos: list[Path]) -> None:
    with pytest.raises(ConvLensError, match="Expected the address of a server"):
        serve.load_server(given, photos, num_requests=1, num_clients=1)
