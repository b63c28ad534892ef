"""A model server asked for predictions again and again: how fast it is, and whether every response is the right one.

    make serve                                   (in another terminal)
    python benchmarks/serve.py photo.jpg

The client is a number of threads with a connection each, which send their next request when the last is answered.
"""

import base64
import http.client
import json
import socket
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import click
import harness
import numpy as np
import psutil

from convlens.errors import ConvLensError
from convlens.wording import show_count

TIMEOUT_SECONDS = 120.0
FAILURES = (OSError, http.client.HTTPException, ValueError)


def load_server(
    address: str, photos: Sequence[Path], *, num_requests: int, num_clients: int, photos_per_request: int = 1
) -> dict[str, Any]:
    """Send requests, several at a time, and compare every response with that of the idle server.

    Returns:
        Requests and photos per second; the median and the 99 % quantile of the seconds to a response; the server's
        memory (None unless it runs on this machine, for this user); and how many requests were lost (no response) or
        wrong (a response that differs in any digit), with the first failure.

    Raises:
        ConvLensError: no photos, or a server that does not answer even a single request.
    """
    parts = urlsplit(address)
    if parts.scheme != "http" or not parts.hostname:
        raise ConvLensError(f"Expected the address of a server, as http://127.0.0.1:5001. Received: {address}.")
    host, port = parts.hostname, parts.port or 80
    texts = [base64.b64encode(photo.read_bytes()).decode("ascii") for photo in photos]
    bodies = []
    for first in range(len(texts)):  # a request for every photo, which comes with those that follow it
        inputs = [texts[(first + step) % len(texts)] for step in range(photos_per_request)]
        bodies.append(json.dumps({"inputs": inputs}).encode())
    try:
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        expected = [_predict(connection, body) for body in bodies]
        connection.close()
    except FAILURES as error:
        raise ConvLensError(
            f"Expected a model server at {address}. Received: {error}. Start it: make serve."
        ) from error
    numbers, seconds, wrong, failures = count(), list[float](), list[int](), list[str]()

    def send_requests(_: int) -> None:
        """One client: the next request of all as long as there are any."""
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_SECONDS)
        while (number := next(numbers)) < num_requests:
            at, started = number % len(bodies), time.perf_counter()
            try:
                predictions = _predict(connection, bodies[at])
            except FAILURES as error:
                connection.close()
                failures.append(f"{type(error).__name__}: {error}")
                continue
            seconds.append(time.perf_counter() - started)
            if predictions != expected[at]:
                wrong.append(number)
        connection.close()

    started = time.perf_counter()
    with ThreadPoolExecutor(num_clients) as pool:
        list(pool.map(send_requests, range(num_clients)))
    passed = time.perf_counter() - started
    p50, p99 = np.quantile(seconds or [0.0], [0.5, 0.99]).tolist()
    return {
        "benchmark": "serve",
        "num_clients": num_clients,
        "num_requests": num_requests,
        "photos_per_request": photos_per_request,
        "seconds": passed,
        "requests_per_second": len(seconds) / passed,
        "photos_per_second": len(seconds) / passed * photos_per_request,
        "p50_seconds": p50,
        "p99_seconds": p99,
        "memory_megabytes": measure_server_memory(host, port),
        "num_lost": num_requests - len(seconds),
        "num_wrong": len(wrong),
        "first_failure": failures[0] if failures else "",
    }


def _predict(connection: http.client.HTTPConnection, body: bytes) -> Any:
    connection.request("POST", "/invocations", body, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status != http.client.OK:
        raise OSError(f"status {response.status}: {content[:200].decode(errors='replace')}")
    return json.loads(content)["predictions"]


def measure_server_memory(host: str, port: int) -> float | None:
    """Sum the memory (resident set, MB) of this user's processes that listen on a port of this machine, if any do."""
    if host not in ("localhost", "127.0.0.1", "::1", socket.gethostname()):
        return None
    total = 0.0
    for process in psutil.process_iter():
        try:
            ports = [each.laddr.port for each in process.net_connections("tcp") if each.status == psutil.CONN_LISTEN]
            total += process.memory_info().rss / 1e6 if port in ports else 0.0
        except psutil.Error:  # somebody else's, or ended meanwhile
            continue
    return total or None


def format_load(result: dict[str, Any]) -> str:
    """Format all that a person reads."""
    count, photos = f"{result['num_requests']:,} requests", show_count(result["photos_per_request"], "photo")
    speed = f"{result['requests_per_second']:.1f} requests per second, {result['photos_per_second']:.1f} photos"
    times = ", ".join(f"{name} {1000 * result[f'{name}_seconds']:,.0f} ms" for name in ("p50", "p99"))
    memory = "unknown" if result["memory_megabytes"] is None else f"{result['memory_megabytes']:,.0f} MB"
    lost = f"{result['num_lost']:,} lost, {result['num_wrong']:,} wrong"
    lines = [f"{count} of {photos} each, {result['num_clients']} at a time", f"{speed}; {times}; {lost}"]
    return "\n".join([*lines, f"memory of the server: {memory}", *filter(None, [result["first_failure"]])])


@click.command()
@click.argument("photos", nargs=-1, required=True, metavar="PHOTO...", type=click.Path(path_type=Path, exists=True))
@click.option("--address", default="http://127.0.0.1:5001", show_default=True, help="Of the server of `make serve`.")
@click.option("--requests", "num_requests", type=click.IntRange(1), default=500, show_default=True, help="In all.")
@click.option("--clients", "num_clients", type=click.IntRange(1, 64), default=4, show_default=True,
              help="That send requests at the same time.")  # fmt: skip
@click.option("--photos-per-request", type=click.IntRange(1), default=1, show_default=True)
@harness.json_option
def main(
    photos: Sequence[Path],
    address: str,
    num_requests: int,
    num_clients: int,
    photos_per_request: int,
    json_file: Path | None,
) -> None:
    """Send PHOTOs to the model server of `make serve`: speed, memory, and responses lost or wrong under load.

    The exit code is 1 if there is one.
    """
    load = {"num_requests": num_requests, "num_clients": num_clients, "photos_per_request": photos_per_request}
    result = load_server(address, photos, **load)
    harness.report(result, format_load(result), json_file)
    if result["num_lost"] or result["num_wrong"]:
        sys.exit(1)


if __name__ == "__main__":
    harness.run(main)
