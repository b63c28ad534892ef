"""Asks a model server the same photos again and again: how fast it answers, and whether every answer is the right one.

The client is a number of threads with a connection each, which send their next request when the last is answered.
"""

import base64
import http.client
import json
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import numpy as np

from convlens.errors import ConvLensError

PATH = "/invocations"
SECONDS = 120.0
PREFIX = "probability_"


@dataclass
class Answers:
    """What came back.

    Attributes:
        seconds: from sending a request to its whole answer, for those that were answered.
        num_wrong: answers that differ from the expected one in any digit.
        failures: requests without an answer, each with the reason.
    """

    seconds: list[float] = field(default_factory=list)
    num_wrong: int = 0
    failures: list[str] = field(default_factory=list)


def bench_serving(
    address: str, photos: Sequence[Path], *, num_requests: int, num_clients: int, photos_per_request: int = 1
) -> dict[str, Any]:
    """Send so many requests, so many at a time.

    Args:
        address: of the server, such as http://127.0.0.1:5001.
        photos: image files to take turns with.
        num_requests: in all.
        num_clients: that ask at the same time.
        photos_per_request: in one request.

    Returns:
        Requests and photos per second, quantiles of the seconds to an answer, and how many were lost or wrong.

    Raises:
        ConvLensError: no photos, or a server that does not answer even a single request.
    """
    host = _read_address(address)
    bodies = _write_bodies(photos, photos_per_request)
    expected = _ask_first(host, bodies)
    found, numbers, lock = Answers(), count(), threading.Lock()
    started = time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        for _ in range(num_clients):
            pool.submit(_ask_often, host, bodies, expected, (numbers, num_requests), (found, lock))
    seconds = time.perf_counter() - started
    return {"num_clients": num_clients, "num_requests": num_requests, "photos_per_request": photos_per_request,
            **_describe(found, seconds, photos_per_request), "num_lost": num_requests - len(found.seconds),
            "first_failure": next(iter(found.failures), "")}  # fmt: skip


def format_serving(result: dict[str, Any]) -> str:
    """All that a person reads of `bench serve`."""
    head = (
        f"{result['num_requests']:,} requests of {result['photos_per_request']} photos each, "
        f"{result['num_clients']} at a time"
    )
    speed = f"{result['requests_per_second']:.1f} requests per second, {result['photos_per_second']:.1f} photos"
    times = ", ".join(f"{name} {1000 * result[f'{name}_seconds']:,.0f} ms" for name in ("p50", "p99"))
    lost = f"{result['num_lost']:,} lost, {result['num_wrong']:,} wrong"
    return "\n".join([head, f"{speed}; {times}; {lost}", *filter(None, [result["first_failure"]])])


def _describe(found: Answers, seconds: float, photos_per_request: int) -> dict[str, Any]:
    rate = len(found.seconds) / seconds
    p50, p99 = (float(np.quantile(found.seconds or [0.0], share)) for share in (0.5, 0.99))
    return {"seconds": seconds, "requests_per_second": rate, "photos_per_second": rate * photos_per_request,
            "p50_seconds": p50, "p99_seconds": p99, "num_wrong": found.num_wrong}  # fmt: skip


def _read_address(address: str) -> tuple[str, int]:
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise ConvLensError(f"Expected the address of a server, as http://127.0.0.1:5001. Received: {address}.")
    return parts.hostname, parts.port or 80


def _write_bodies(photos: Sequence[Path], per_request: int) -> list[bytes]:
    """One request for every photo, which comes with those that follow it."""
    if not photos:
        raise ConvLensError("Expected photos to ask about. Received: none.")
    texts = [base64.b64encode(photo.read_bytes()).decode("ascii") for photo in photos]
    starts = range(len(texts))
    parts = [[texts[(start + step) % len(texts)] for step in range(per_request)] for start in starts]
    return [json.dumps({"inputs": part}).encode() for part in parts]


def _ask_first(host: tuple[str, int], bodies: Sequence[bytes]) -> list[Any]:
    """The answers when nobody else asks, by which the others are judged."""
    connection = http.client.HTTPConnection(*host, timeout=SECONDS)
    try:
        return [_ask(connection, body) for body in bodies]
    except (OSError, http.client.HTTPException, ValueError) as error:
        shown = f"http://{host[0]}:{host[1]}"
        raise ConvLensError(f"Expected a model server at {shown}. Received: {error}. Start it: make serve.") from error
    finally:
        connection.close()


def _ask_often(
    host: tuple[str, int],
    bodies: Sequence[bytes],
    expected: Sequence[Any],
    turns: tuple[Any, int],
    notes: tuple[Answers, threading.Lock],
) -> None:
    """One client: the next request of all as long as there are any."""
    (numbers, num_requests), (found, lock) = turns, notes
    connection = http.client.HTTPConnection(*host, timeout=SECONDS)
    while (number := next(numbers)) < num_requests:
        at, started = number % len(bodies), time.perf_counter()
        try:
            answer = _ask(connection, bodies[at])
        except (OSError, http.client.HTTPException, ValueError) as error:
            connection.close()
            with lock:
                found.failures.append(f"{type(error).__name__}: {error}")
            continue
        with lock:
            found.seconds.append(time.perf_counter() - started)
            found.num_wrong += answer != expected[at]
    connection.close()


def _ask(connection: http.client.HTTPConnection, body: bytes) -> Any:
    connection.request("POST", PATH, body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        raise OSError(f"status {response.status}: {content[:200].decode(errors='replace')}")
    return json.loads(content)["predictions"]
