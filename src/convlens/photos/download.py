"""Downloading an archive: goes on where it stopped, checks what came, appears whole or not at all."""

import hashlib
import os
import time
from collections.abc import Generator, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path

import requests

from convlens.errors import ConvLensError
from convlens.photos.steady import TooSlowError, read_steadily
from convlens.progress import say, track

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.2
TIMEOUT_SECONDS = (10.0, 30.0)
MIN_BYTES_PER_SECOND = 1000.0  # below this, over a window, a server counts as stalled
WINDOW_SECONDS = 60.0
MAX_SECONDS = 12 * 3600.0  # for all attempts together; the next run goes on from there
BUSY = (429, 500, 502, 503, 504)  # a later attempt may go well
PASSING = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
BLOCK = 1 << 15  # what a cut connection loses at most


def download_archive(url: str, target: Path, *, sha256: str | None, size: int | None) -> Path:
    """Bring a file, or take the one that is there already if it is the right one.

    Args:
        url: http or https address.
        target: where the file appears; `target` with `.part` holds what has come so far.
        sha256: expected digest in hexadecimal, if known.
        size: expected size in bytes, if known.

    Raises:
        ConvLensError: the server cannot be reached, is too slow or answers with an error, or size or digest differ.
    """
    if target.is_file() and _problem(target, sha256, size) is None:
        return target
    target.parent.mkdir(parents=True, exist_ok=True)
    part = target.with_name(target.name + ".part")
    _fetch(url, part, size)
    problem = _problem(part, sha256, size)
    if problem:
        _discard(part)
        raise ConvLensError(f"Expected {problem} from {url}. The download was discarded; correct the card or retry.")
    if sha256 is None:
        say(f"ingest: sha256 of {url} is {digest_file(part)}; write it into the card to pin the data.")
    os.replace(part, target)
    _discard(part)
    return target


def digest_file(path: Path) -> str:
    """The sha256 of a file in hexadecimal."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(url: str, part: Path, size: int | None) -> None:
    deadline = time.monotonic() + MAX_SECONDS
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_rest(url, part, size, deadline)
            return
        except (*PASSING, TooSlowError) as error:
            if attempt == ATTEMPTS or time.monotonic() > deadline:
                raise ConvLensError(
                    f"Expected to download {url}. Received, after {attempt} attempts: {_reason(error)}. What has come "
                    "is kept: run the same command again, or download by hand and name the file as data.source."
                ) from error
            time.sleep(min(FIRST_WAIT_SECONDS * 2**attempt, 5.0))
        except requests.RequestException as error:
            raise ConvLensError(f"Expected to download {url}. Received: {_reason(error)}. Correct the card.") from error


def _fetch_rest(url: str, part: Path, size: int | None, deadline: float) -> None:
    validator = _validator(part)
    have = part.stat().st_size if part.is_file() and validator.is_file() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": validator.read_text()} if have else {}
    headers["Accept-Encoding"] = "identity"
    with closing(_read(url, headers, deadline)) as pieces:
        response = next(pieces)
        if not isinstance(response, requests.Response) or (have and response.status_code == 416):
            return  # nothing is left to bring
        resumed = _check_answer(response, url, part, have)
        _remember_validator(response, validator)
        with open(part, "ab" if resumed else "wb") as file:
            for block in _blocks(pieces, response, url, have if resumed else 0):
                _check_room(file.tell() + len(block), part, url, size)
                file.write(block)
    validator.unlink(missing_ok=True)


def _read(url: str, headers: dict[str, str], deadline: float) -> Generator[requests.Response | bytes, None, None]:
    """The answer's head, then its content in blocks, as long as it comes fast enough."""
    return read_steadily(
        partial(_answer, url, headers),
        weigh=_weigh,
        min_rate=MIN_BYTES_PER_SECOND,
        window_seconds=WINDOW_SECONDS,
        max_seconds=deadline - time.monotonic(),
    )


def _answer(url: str, headers: dict[str, str]) -> Iterator[requests.Response | bytes]:
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        yield response
        yield from response.iter_content(BLOCK)


def _weigh(piece: requests.Response | bytes) -> int:
    return len(piece) if isinstance(piece, bytes) else 0


def _check_answer(response: requests.Response, url: str, part: Path, have: int) -> bool:
    """Whether the server goes on where it was asked to; false if it begins anew."""
    if response.status_code in BUSY:
        raise requests.ConnectionError(f"{response.status_code} {response.reason}")
    if not response.ok:
        raise ConvLensError(f"Expected an archive at {url}. Received: {response.status_code} {response.reason}.")
    resumed = response.status_code == 206
    if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
        _discard(part)
        raise requests.ConnectionError("the server went on at another place than it was asked to")
    return resumed


def _validator(part: Path) -> Path:
    """Holds the server's name for the version whose beginning `part` holds."""
    return part.with_name(part.name + ".etag")


def _discard(part: Path) -> None:
    part.unlink(missing_ok=True)
    _validator(part).unlink(missing_ok=True)


def _check_room(received: int, part: Path, url: str, size: int | None) -> None:
    if size is not None and received > size:
        _discard(part)
        raise ConvLensError(
            f"Expected {size:,} bytes from {url}. Received: more. The download was discarded; correct the card."
        )


def _remember_validator(response: requests.Response, validator: Path) -> None:
    tag = response.headers.get("ETag") or response.headers.get("Last-Modified")
    if tag and not tag.startswith("W/"):
        validator.write_text(tag)
    else:
        validator.unlink(missing_ok=True)


def _blocks(
    pieces: Iterator[requests.Response | bytes], response: requests.Response, url: str, have: int
) -> Iterator[bytes]:
    length = response.headers.get("Content-Length", "")
    coming = int(length) if length.isdecimal() else 0
    total, received = have + coming, have
    blocks = (piece for piece in pieces if isinstance(piece, bytes))
    for block in track(blocks, total=coming, task=f"download {url}", unit="bytes", weigh=len):
        received += len(block)
        yield block
    if coming and received < total:
        raise requests.ConnectionError(f"the connection ended after {received:,} of {total:,} bytes")


def _problem(path: Path, sha256: str | None, size: int | None) -> str | None:
    have = path.stat().st_size
    if size is not None and have != size:
        return f"{size:,} bytes (received {have:,})"
    if sha256 is not None and (digest := digest_file(path)) != sha256:
        return f"sha256 {sha256} (received {digest})"
    return None


def _reason(error: BaseException) -> str:
    """The innermost words: requests wraps what urllib3 wraps around what the system says."""
    while error.args and isinstance(error.args[0], Exception):
        error = error.args[0]
    error = getattr(error, "reason", None) or error
    words = " ".join(str(error.args[0] if error.args else error).split())
    return words.rpartition("): ")[2][:200]
