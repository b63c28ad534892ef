"""Download archives, with resume and checksum, and unpack them into a folder that nothing leaves."""

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import os
import re
import stat
import struct
import tarfile
import threading
import time
import zipfile
import zlib
from collections.abc import Callable, Generator, Iterable, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePosixPath
from queue import Empty, Full, Queue
from typing import IO, Any, TypeVar, cast

import requests

from convlens.errors import ConvLensError, printable
from convlens.progress import say, track

# --- What comes from a server, taken no longer than it is worth: too slow is an error, however it is slow ---
#
# Time limits of sockets count the wait for one byte: a server that sends a byte now and then is never late, in the
# middle of a name look-up, a header or a block. So the connection is read in a thread of its own, and left behind if
# need be.

T = TypeVar("T")


class TooSlowError(Exception):
    """Less came than was asked for in the time there was."""


def read_steadily(
    start: Callable[[], Iterable[T]],
    *,
    weigh: Callable[[T], int],
    min_rate: float,
    window_seconds: float,
    max_seconds: float,
) -> Generator[T, None, None]:
    """Yield what `start()` yields while it comes fast enough.

    Args:
        start: opens the source; runs in a thread that is left behind when the source is too slow.
        weigh: how much an item counts.
        min_rate: weight per second that must come on average within every window.
        window_seconds: how long less than that may come.
        max_seconds: how long it may take in all.

    Raises:
        TooSlowError: it is slower than `min_rate` or takes longer than `max_seconds`.
        Exception: what the source raises.
    """
    queue: Queue[tuple[T | None, BaseException | None]] = Queue(maxsize=4)
    stopped = threading.Event()
    threading.Thread(target=_pump, args=(start, queue, stopped), daemon=True).start()
    deadline = time.monotonic() + max_seconds
    try:
        yield from _take(queue, weigh, min_rate=min_rate, window_seconds=window_seconds, deadline=deadline)
    finally:
        stopped.set()


def _take(
    queue: "Queue[tuple[T | None, BaseException | None]]",
    weigh: Callable[[T], int],
    *,
    min_rate: float,
    window_seconds: float,
    deadline: float,
) -> Iterator[T]:
    weight, waited = 0.0, 0.0  # in this window; the time that the taker takes is not the source's
    while True:
        started = time.monotonic()
        item, error = _next(queue, min(window_seconds - waited, deadline - started), weight)
        waited += time.monotonic() - started
        if error is not None:
            raise error
        if item is None:
            return
        yield item
        weight += weigh(item)
        if weight >= min_rate * window_seconds:
            weight, waited = 0.0, 0.0
        elif waited >= window_seconds:
            raise TooSlowError(f"{weight:,.0f} bytes in {waited:.0f} s are too few")
        if time.monotonic() > deadline:
            raise TooSlowError("it took longer than a download may take")


def _next(
    queue: "Queue[tuple[T | None, BaseException | None]]", seconds: float, weight: float
) -> tuple[T | None, BaseException | None]:
    try:
        return queue.get(timeout=max(seconds, 0.001))
    except Empty:
        raise TooSlowError(f"{weight:,.0f} bytes, then nothing in time") from None


def _pump(
    start: Callable[[], Iterable[T]],
    queue: "Queue[tuple[T | None, BaseException | None]]",
    stopped: threading.Event,
) -> None:
    """Carry everything into the queue, at last `None` or the error; end when nobody takes it any more."""
    last: tuple[T | None, BaseException | None] = (None, None)
    try:
        for item in start():
            if not _put(queue, (item, None), stopped):
                return
    except BaseException as error:
        last = (None, error)
    _put(queue, last, stopped)


def _put(
    queue: "Queue[tuple[T | None, BaseException | None]]",
    item: tuple[T | None, BaseException | None],
    stopped: threading.Event,
) -> bool:
    while not stopped.is_set():
        with suppress(Full):
            queue.put(item, timeout=0.1)
            return True
    return False


# --- Downloading an archive: goes on where it stopped, checks what came, appears whole or not at all ---

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


# --- archive streams ---
# Reading archives without trust: nothing is read in one piece that is large, nothing for ever, nothing backwards.
#
# `tarfile` reads the header of a member whole, however long it says it is, and skips what it does not want by unpacking
# it; `zipfile` reads its directory whole. Both do it through the file they are given, which is where they are held up.

MAX_HEADER_BYTES = 1 << 20  # of a tar member: names, attributes; ordinary ones have some hundreds
MAX_DIRECTORY_BYTES = 1 << 27  # of a zip: about a million and a half files
SKIP_BYTES = 1 << 20
MAGIC: dict[bytes, Callable[..., Any]] = {
    b"\x1f\x8b": gzip.open,
    b"BZh": bz2.open,
    b"\xfd7zXZ\x00": lzma.open,
    b"]\x00\x00": lzma.open,
}


class Guarded(io.RawIOBase):
    """A readable file that refuses large single reads, going back, and more content than it may have.

    Raises `ConvLensError`, which the readers of Python's standard library let pass.
    """

    def __init__(self, file: IO[bytes], archive: Path, *, allowance: int) -> None:
        self._file = file
        self._archive = archive
        self._left = allowance
        self._place = 0

    def read(self, size: int | None = -1) -> bytes:
        if size is None or not 0 <= size <= MAX_HEADER_BYTES:
            raise refuse_header(self._archive)
        block = self._file.read(size)
        self._left -= len(block)
        self._place += len(block)
        if self._left < 0:
            raise refuse_bomb(self._archive)
        return block

    def readinto(self, buffer: Any) -> int:
        block = self.read(min(len(buffer), MAX_HEADER_BYTES))
        buffer[: len(block)] = block
        return len(block)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        target = offset + (self._place if whence == io.SEEK_CUR else 0)
        if whence == io.SEEK_END or target < self._place:
            raise ConvLensError(f"Expected a whole zip or tar archive. Received: {self._archive}: it leads back.")
        while self._place < target and self.read(min(SKIP_BYTES, target - self._place)):
            pass  # a compressed file is unpacked to be skipped, so that counts as well
        return self._place

    def tell(self) -> int:
        return self._place

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def close(self) -> None:
        self._file.close()
        super().close()


class BoundedReads(io.BufferedReader):
    """A file on disk that refuses single reads above `MAX_DIRECTORY_BYTES`."""

    def read(self, size: int | None = -1) -> bytes:
        if size is not None and size > MAX_DIRECTORY_BYTES:
            raise refuse_header(Path(str(self.name)))
        return super().read(MAX_DIRECTORY_BYTES if size is None or size < 0 else size)


def open_tar_stream(archive: Path, *, allowance: int) -> Guarded:
    """The uncompressed content of a tar archive, by its first bytes plain or one of gzip, bzip2, xz and lzma."""
    with open(archive, "rb") as file:
        head = file.read(6)
    opener = next((open_it for magic, open_it in MAGIC.items() if head.startswith(magic)), open)
    return Guarded(cast("IO[bytes]", opener(archive, "rb")), archive, allowance=allowance)


def open_zip_file(archive: Path) -> BoundedReads:
    """The file of a zip archive."""
    return BoundedReads(io.FileIO(archive))


def refuse_header(archive: Path) -> ConvLensError:
    """The error for a header or directory of giant or nonsensical size."""
    return ConvLensError(
        f"Expected a zip or tar archive of photos. Received: {archive}, with a header of a size that no photo needs. "
        "Unpack it by hand and name the folder if that is right."
    )


def refuse_bomb(archive: Path) -> ConvLensError:
    """The error for an archive whose content is out of proportion to its size."""
    return ConvLensError(
        f"Expected an archive of photos. Received: {archive}, which unpacks to more than a photo archive of its size "
        "can hold. Unpack it by hand and name the folder if that is right."
    )


# --- Unpacking zip and tar archives that may be hostile: nothing leaves the folder, nothing grows without end ---

MAX_MEMBERS = 2_000_000
MAX_RATIO = 200
ALWAYS_ALLOWED_BYTES = 1 << 30
HEADER_SHARE = 1 << 20  # bytes at least for the headers of a tar, beside its content
DAMAGE = (  # what Python's readers raise on archives that are cut off, changed, encrypted or of unknown make
    zipfile.BadZipFile,
    tarfile.TarError,
    lzma.LZMAError,
    zlib.error,
    struct.error,
    EOFError,
    MemoryError,  # an xz file names the memory it wants
    NotImplementedError,
    OSError,
    RuntimeError,
    ValueError,
)
TAKEN = {errno.EEXIST, errno.ENOTDIR, errno.EISDIR}
UNWRITABLE = {errno.ENAMETOOLONG, errno.EILSEQ, errno.EINVAL}
DRIVE = re.compile(r"[A-Za-z]:")


@dataclass(frozen=True)
class Member:
    """A regular file in an archive: its name, and its content to be read once."""

    name: str
    content: IO[bytes]


def is_archive(path: Path) -> bool:
    """Whether a file is a zip or tar archive, by its content."""
    try:
        return path.is_file() and (zipfile.is_zipfile(path) or _is_tar(path))
    except (*DAMAGE, ConvLensError):
        return False


def _is_tar(path: Path) -> bool:
    with open_tar_stream(path, allowance=ALWAYS_ALLOWED_BYTES) as stream, _read_tar(stream):
        return True


def unpack_archive(archive: Path, folder: Path) -> int:
    """Unpack the regular files of an archive below `folder`, which must exist and be empty.

    Returns:
        How many files were written.

    Raises:
        ConvLensError: a name that leaves the folder, a link or device, encryption, damage, or more content than a
            photo archive of this size can hold.
    """
    allowance = _allow(archive)
    count = 0
    try:
        for count, member in enumerate(_open_members(archive), start=1):  # noqa: B007 - returned
            allowance = _write_member(member, _safe_path(member.name, folder, archive), allowance, archive)
    except DAMAGE as error:
        if isinstance(error, OSError) and error.errno not in (None, errno.EINVAL):
            raise  # the disk, not the archive
        words = printable(" ".join(str(error).split()) or type(error).__name__)
        raise ConvLensError(f"Expected a whole zip or tar archive. Received: {archive}: {words}") from error
    return count


def _allow(archive: Path) -> int:
    """Bytes that the content of an archive may have."""
    return int(max(ALWAYS_ALLOWED_BYTES, MAX_RATIO * archive.stat().st_size))


def _open_members(archive: Path) -> Iterator[Member]:
    return _open_zip(archive) if zipfile.is_zipfile(archive) else _open_tar(archive)


def _open_zip(archive: Path) -> Iterator[Member]:
    with open_zip_file(archive) as file, zipfile.ZipFile(file) as opened:
        for count, info in enumerate(opened.infolist(), start=1):
            _check_count(count, archive)
            mode = info.external_attr >> 16
            if mode and not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)) and stat.S_IFMT(mode):
                raise _refuse(archive, info.filename, "a link or device")
            if not info.is_dir():
                with opened.open(info) as content:
                    yield Member(info.filename, content)


def _open_tar(archive: Path) -> Iterator[Member]:
    # Twice the content: what is skipped counts here and not there, and every member has its headers.
    with open_tar_stream(archive, allowance=2 * _allow(archive) + HEADER_SHARE) as stream, _read_tar(stream) as opened:
        for count, info in enumerate(opened, start=1):
            _check_count(count, archive)
            opened.members = []  # type: ignore[attr-defined]  # else all members of a long archive stay in memory
            if info.isdir():
                continue
            content = opened.extractfile(info) if info.isreg() else None
            if content is None:
                raise _refuse(archive, info.name, "a link or device")
            yield Member(info.name, content)


def _read_tar(stream: Guarded) -> tarfile.TarFile:
    return tarfile.open(fileobj=cast("IO[bytes]", stream), mode="r:")


def _check_count(count: int, archive: Path) -> None:
    if count > MAX_MEMBERS:
        raise ConvLensError(f"Expected at most {MAX_MEMBERS:,} files and folders in {archive}. Received: more.")


def _safe_path(name: str, folder: Path, archive: Path) -> Path:
    pure = PurePosixPath(name.replace("\\", "/"))
    if pure.is_absolute() or ".." in pure.parts or not pure.parts or DRIVE.match(pure.parts[0]):
        raise _refuse(archive, name, "a name that leaves the folder")
    return folder.joinpath(*pure.parts)


def _create(target: Path, name: str, archive: Path) -> IO[bytes]:
    """Open a new file; what is there already came from the same archive."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        return open(target, "xb")
    except OSError as error:
        if error.errno in TAKEN:
            raise _refuse(archive, name, "a name held twice, or by a file and a folder") from None
        if error.errno in UNWRITABLE:
            raise _refuse(archive, name, "a name that cannot be written here") from None
        raise


def _write_member(member: Member, target: Path, allowance: int, archive: Path) -> int:
    with _create(target, member.name, archive) as file:
        while block := member.content.read(1 << 20):
            allowance -= len(block)
            if allowance < 0:
                raise ConvLensError(
                    f"Expected an archive of photos. Received: {archive}, which unpacks to more than {MAX_RATIO} "
                    "times its size. Unpack it by hand and name the folder if that is right."
                )
            file.write(block)
    return allowance


def _refuse(archive: Path, name: str, what: str) -> ConvLensError:
    shown = printable(name[:200])
    return ConvLensError(f"Expected plain files in {archive}. Received: '{shown}', {what}. Nothing was unpacked.")
