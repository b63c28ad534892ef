"""Where the loader gets a photo from: a file, or an object store. Light to import: worker processes load it."""

from pathlib import Path

from convlens.photos.loader import PhotoError
from convlens.photos.remote import is_address, read_object


def read_photo(path: str) -> Path | bytes:
    """What the loader takes for a path in the list of photos: the path of a file, or the bytes of an object.

    Raises:
        PhotoError: the object is gone.
        ConvLensError: the store does not answer or refuses.
    """
    if not is_address(path):
        return Path(path)
    try:
        return read_object(path)
    except FileNotFoundError:
        message = f"Expected a photo. Received: {path}, which does not exist."
        raise PhotoError(message, "the file does not exist") from None
