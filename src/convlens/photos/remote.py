"""Photos in an object store: `s3://bucket/photos` and `gs://bucket/photos`, through Arrow, which parquet needs anyway.

An address is a photo's path in the list of photos and in all that follows; its bytes are read where it is decoded.

Credentials, region and endpoint come from the places where the provider's own tools look for them
(https://arrow.apache.org/docs/python/filesystems.html): `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `~/.aws`, the
machine's role; `GOOGLE_APPLICATION_CREDENTIALS`. None of them belongs into an address, which is recorded.
"""

import hashlib
import re
from functools import cache
from pathlib import PurePosixPath
from typing import TYPE_CHECKING

from convlens.errors import ConvLensError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

ADDRESS = re.compile(r"^(s3|gs)://([^/@?#]+)(/[^?#]*)?$")
SCHEME = re.compile(r"^(s3|gs):/")


def is_address(path: str) -> bool:
    """Whether a path is the address of something in an object store."""
    return SCHEME.match(path) is not None


def read_object(address: str) -> bytes:
    """The bytes of an object.

    Raises:
        FileNotFoundError: the object is gone.
        ConvLensError: the store does not answer or refuses; this says nothing about the photo, so the work stops.
    """
    store, key = _locate(address)
    try:
        with store.open_input_stream(key) as stream:
            content: bytes = stream.read()
    except FileNotFoundError:
        raise
    except OSError as error:
        raise _refuse(address, error) from error
    return content


def digest_object(address: str) -> tuple[int, str]:
    """Size in bytes and sha256 of an object; 0 and '' if it is gone."""
    try:
        content = read_object(address)
    except FileNotFoundError:
        return 0, ""
    return len(content), hashlib.sha256(content).hexdigest()


def list_objects(address: str) -> list[str]:
    """The keys below an address, sorted, relative to it; empty objects that stand for folders are passed over.

    Raises:
        ConvLensError: nothing there, or the store does not answer or refuses.
    """
    from pyarrow.fs import FileSelector, FileType

    store, prefix = _locate(address)
    try:
        found = store.get_file_info(FileSelector(prefix, recursive=True))
    except OSError as error:
        raise _refuse(address, error) from error
    root = PurePosixPath(prefix)
    return sorted(PurePosixPath(one.path).relative_to(root).as_posix() for one in found if one.type == FileType.File)


def _locate(address: str) -> tuple["FileSystem", str]:
    """The store, and the path in it, which starts with the bucket."""
    matched = ADDRESS.match(address)
    if matched is None:
        raise ConvLensError(
            f"Expected an address such as s3://bucket/photos. Received: {_hide(address)}. Credentials, region and "
            "endpoint do not belong into it: set AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL and the like."
        )
    scheme, bucket, key = matched.groups()
    return _open_store(scheme, bucket), f"{bucket}{key or ''}".rstrip("/")


def _hide(address: str) -> str:
    """An address without what stands before an @: it may be a key."""
    return re.sub(r"//[^/]*@", "//...@", address)


@cache
def _open_store(scheme: str, bucket: str) -> "FileSystem":
    """One connection per bucket and process: opening it asks for the bucket's region."""
    from pyarrow.fs import FileSystem

    try:
        store: FileSystem = FileSystem.from_uri(f"{scheme}://{bucket}")[0]
    except (OSError, ValueError) as error:
        raise _refuse(f"{scheme}://{bucket}", error) from error
    return store


def _refuse(address: str, error: Exception) -> ConvLensError:
    words = " ".join(str(error).split())[:300]
    return ConvLensError(
        f"Expected an object store that answers for {address}. Received: {words}. Check the address, the network and "
        "your credentials (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_REGION; GOOGLE_APPLICATION_CREDENTIALS)."
    )
