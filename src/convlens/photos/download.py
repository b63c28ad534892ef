"""Downloading an archive: goes on where it stopped, checks what came, appears whole or not at all."""

import hashlib
import os
import time
from collections.abc import Iterator
from pathlib import Path

import requests

from convlens.errors import ConvLensError
from convlens.progress import say, track

ATTEMPTS = 5
FIRST_WAIT_SECONDS = 0.2
TIMEOUT_SECONDS = (10.0, 30.0)
BUSY = (429, 500, 502, 503, 504)  # a later attempt may go well
BLOCK = 1 << 16  # what a cut connection loses at most


def download_archive(url: str, target: Path, *, sha256: str | None, size: int | None) -> Path:
    """Bring a file, or take the one that is there already if it is the right one.

    Args:
        url: http or https address.
        target: where the file appears; `target` with `.part` holds what has come so far.
        sha256: expected digest in hexadecimal, if known.
        size: expected size in bytes, if known.

    Raises:
        ConvLensError: the server cannot be reached or answers with an error, or size or digest differ.
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
    for attempt in range(1, ATTEMPTS + 1):
        try:
            _fetch_rest(url, part, size)
            return
        except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
            if attempt == ATTEMPTS:
                raise ConvLensError(
                    f"Expected to download {url}. Received, after {ATTEMPTS} attempts: {_reason(error)}. What has come "
                    "is kept: run the same command again, or download by hand and name the file as data.source."
                ) from error
            time.sleep(min(FIRST_WAIT_SECONDS * 2**attempt, 5.0))
        except requests.RequestException as error:
            raise ConvLensError(f"Expected to download {url}. Received: {_reason(error)}. Correct the card.") from error


def _fetch_rest(url: str, part: Path, size: int | None) -> None:
    validator = _validator(part)
    have = part.stat().st_size if part.is_file() and validator.is_file() else 0
    headers = {"Range": f"bytes={have}-", "If-Range": validator.read_text()} if have else {}
    headers["Accept-Encoding"] = "identity"
    with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        if have and response.status_code == 416:  # nothing is left to bring
            return
        if response.status_code in BUSY:
            raise requests.ConnectionError(f"{response.status_code} {response.reason}")
        if not response.ok:
            raise ConvLensError(f"Expected an archive at {url}. Received: {response.status_code} {response.reason}.")
        resumed = response.status_code == 206
        if resumed and not response.headers.get("Content-Range", "").startswith(f"bytes {have}-"):
            _discard(part)
            raise requests.ConnectionError("the server went on at another place than it was asked to")
        _remember_validator(response, validator)
        with open(part, "ab" if resumed else "wb") as file:
            for block in _blocks(response, url, have if resumed else 0):
                _check_room(file.tell() + len(block), part, url, size)
                file.write(block)
    validator.unlink(missing_ok=True)


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


def _blocks(response: requests.Response, url: str, have: int) -> Iterator[bytes]:
    length = response.headers.get("Content-Length", "")
    coming = int(length) if length.isdecimal() else 0
    total, received = have + coming, have
    for block in track(response.iter_content(BLOCK), total=coming, task=f"download {url}", unit="bytes", weigh=len):
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
