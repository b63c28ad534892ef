"""Turn the bytes of a photo into pixels: the one place, everywhere in the project and inside the registered model.

EXIF orientation is applied, color modes become RGB, transparency is flattened on white, and only the first frame of
an animation counts. What the network got is exactly what the report shows.
"""

import hashlib
import io
import os
import re
import stat
import warnings
from dataclasses import dataclass
from functools import cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Protocol

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from convlens.errors import ConvLensError

if TYPE_CHECKING:
    from pyarrow.fs import FileSystem

# --- decoding ---

FILTERS = {
    "bilinear": Image.Resampling.BILINEAR,
    "bicubic": Image.Resampling.BICUBIC,
    "lanczos": Image.Resampling.LANCZOS,
}
PADDING_GRAY = (128, 128, 128)
WHOLE_BYTES = 1 << 24  # of a file; what is not longer is read at once, which is quicker than piece by piece
OTHER_PROGRAMS = ("EPS", "WMF")  # Pillow hands these to Ghostscript and to Windows: no business of a photo's
HEIC_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")
HEIC = "a HEIC photo. Run `pip install pillow-heif` and add HEIF to validate.formats, or convert it to JPEG"
ORIENTATION_TAG = 0x0112
DEPTHS = (8, 10, 12, 14, 16)  # bits that cameras, microscopes and scanners give
DEEP = ";16"  # in what Pillow calls the samples of a file
TURNS = {  # what brings each EXIF orientation upright
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


class PhotoError(ConvLensError):
    """A photo that cannot be read; the message says why, `reason` says it without naming the photo."""

    def __init__(self, message: str, reason: str = "") -> None:
        super().__init__(message)
        self.reason = " ".join(reason.split())[:200] or message


class Images(Protocol):
    """uint8 photos (num_photos, height, width, 3) that may lie on disk."""

    def __len__(self) -> int: ...

    def __getitem__(self, rows: np.ndarray) -> np.ndarray: ...


@dataclass(frozen=True)
class LoaderSettings:
    """How photos are brought to one size.

    Attributes:
        image_size: side of the square in pixels.
        keep_aspect: pad to a square with mid gray instead of squashing.
        resampling: `bilinear`, `bicubic` or `lanczos`, as Pillow names them.
    """

    image_size: int
    keep_aspect: bool = False
    resampling: str = "bicubic"


def load_photo(photo: Path | bytes, settings: LoaderSettings) -> np.ndarray:
    """Decode a photo to the array the network gets.

    Args:
        photo: a path, or the bytes of an image file.
        settings: size, aspect and resampling.

    Returns:
        uint8 array of shape (image_size, image_size, 3), RGB, 0..255, a copy of its own.

    Raises:
        PhotoError: the photo cannot be read whole.
    """
    with open_photo(photo) as image:
        # The JPEG decoder may skip detail that the small picture cannot hold: half of the time of an ordinary photo. It
        # halves sides, by averaging, as long as both stay at least as long as asked for; the resampling does the rest.
        # Against decoding in full, pixels differ by 1.5 of 255 on average.
        if image.format in ("JPEG", "MPO"):
            image.draft(None, (settings.image_size, settings.image_size))
        return resize_photo(decode_photo(image), settings)


def open_photo(photo: Path | bytes) -> Image.Image:
    """Read the header of a photo; pixels are decoded later.

    Raises:
        PhotoError: no such file, a folder, not an image, too many pixels, or a format that starts other programs.
    """
    name = "the photo" if isinstance(photo, bytes) else str(photo)
    try:
        if isinstance(photo, bytes) or _check_file(photo) > WHOLE_BYTES:
            return _identify(photo, name)
        image = _identify(photo.read_bytes(), name)
        image.filename = name  # type: ignore[attr-defined]  # errors name it
        return image
    except PhotoError:
        raise
    except Image.DecompressionBombError as error:
        raise PhotoError(f"Expected a photo of ordinary size. Received: {name}: {error}", str(error)) from error
    except UnidentifiedImageError:
        message = f"Expected an image that Pillow can read. Received: {name}, which is none."
        raise PhotoError(message, "not an image that Pillow can read") from None
    except Exception as error:  # Pillow's plugins raise whatever a broken header leads them to
        raise PhotoError(f"Expected a readable photo. Received: {name}: {_tell(error)}", _tell(error)) from error


def decode_photo(image: Image.Image) -> Image.Image:
    """Decode the whole first frame of an opened photo: upright, RGB, without transparency.

    Raises:
        PhotoError: the file ends early or its content is broken.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            is_deep = any(DEEP in str(tile.args) for tile in getattr(image, "tile", ()))
            image.load()
            if is_deep and image.mode.startswith("RGB"):
                _refuse_unused_bits(image)
            turn = None if image.format == "TIFF" else TURNS.get(read_orientation(image))  # Pillow turns TIFF files
            return _flatten(image if turn is None else image.transpose(turn))
    except PhotoError:
        raise
    except Exception as error:  # see open_photo
        name = getattr(image, "filename", "") or "the photo"
        raise PhotoError(f"Expected a whole photo. Received: {name}: {_tell(error)}", _tell(error)) from error


def read_orientation(image: Image.Image) -> int:
    """The EXIF orientation of an opened photo, 1..8; 1 where it says nothing that can be understood."""
    try:
        value = image.getexif().get(ORIENTATION_TAG, 1)
    except Exception:  # a broken note about the photo does not make the photo worse
        return 1
    return value if isinstance(value, int) and value in TURNS else 1


def resize_photo(image: Image.Image, settings: LoaderSettings) -> np.ndarray:
    """Bring an upright RGB picture to the square the network gets; uint8 (image_size, image_size, 3)."""
    side = (settings.image_size, settings.image_size)
    method = FILTERS[settings.resampling]
    if settings.keep_aspect:
        image = ImageOps.pad(image, side, method=method, color=PADDING_GRAY)
    elif image.size != side:
        image = image.resize(side, method)
    pixels = np.frombuffer(bytearray(image.tobytes()), np.uint8)  # np.array(image) copies once more
    return pixels.reshape(image.height, image.width, 3)


def _check_file(photo: Path) -> int:
    """The size in bytes. Only regular files are opened: a pipe would keep its reader waiting for ever."""
    try:
        status = photo.stat()
    except (FileNotFoundError, NotADirectoryError):
        message = f"Expected a photo file. Received: {photo}, which does not exist."
        raise PhotoError(message, "the file does not exist") from None
    if stat.S_ISDIR(status.st_mode):
        raise PhotoError(f"Expected a photo file. Received: the folder {photo}. Name the files in it.", "a folder")
    if not stat.S_ISREG(status.st_mode):
        raise PhotoError(f"Expected a photo file. Received: {photo}, which is no regular file.", "no regular file")
    return status.st_size


def _identify(photo: Path | bytes, name: str) -> Image.Image:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image: Image.Image = Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo)
        except UnidentifiedImageError:
            if not _is_heic(photo):
                raise
            try:
                from pillow_heif import register_heif_opener
            except ImportError:
                raise PhotoError(f"Expected an image that Pillow can read. Received: {name}, {HEIC}.", HEIC) from None
            register_heif_opener()
            image = Image.open(io.BytesIO(photo) if isinstance(photo, bytes) else photo)
    if image.format in OTHER_PROGRAMS:
        image.close()
        message = f"Expected a photo. Received: {name}, an {image.format} file, which only another program can draw."
        raise PhotoError(message, f"format {image.format} is drawn by another program")
    return image


def _is_heic(photo: Path | bytes) -> bool:
    """By its content: eight bytes of a box of type `ftyp`, then the brand."""
    if isinstance(photo, bytes):
        head = photo[:12]
    else:
        with open(photo, "rb") as file:
            head = file.read(12)
    return head[4:8] == b"ftyp" and head[8:12] in HEIC_BRANDS


def _tell(error: Exception) -> str:
    """An error's own words, without the path that the system adds to them."""
    words = error.strerror if isinstance(error, OSError) else None
    return " ".join((words or str(error) or type(error).__name__).split())


def _flatten(image: Image.Image) -> Image.Image:
    if image.mode.startswith(("I", "F")):
        image = _to_eight_bits(image)
    if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
        layer = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", layer.size, (255, 255, 255, 255)), layer)
    return image if image.mode == "RGB" else image.convert("RGB")


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Scale one channel of whole numbers or floats by what it holds, where Pillow's own conversion would clip.

    The brightest value says the depth: floats up to 1 are shares, up to 255 levels; everything else has as many bits
    as the next of 8, 10, 12, 14 and 16 holds, for 12-bit cameras write 0..4095 into 16 bits.

    Raises:
        PhotoError: a value is not a finite number.
    """
    values = np.asarray(image, dtype=np.float64)
    if not np.isfinite(values).all():
        reason = "values that are not finite numbers"
        raise PhotoError(f"Expected a photo of finite numbers. Received: {reason}.", reason)
    largest = float(values.max())
    if image.mode.startswith("F") and largest <= 1:
        most = 1.0
    else:
        most = next((2.0**bits - 1 for bits in DEPTHS if largest < 2**bits), largest)
    return Image.fromarray(np.clip(np.round(values * (255 / most)), 0, 255).astype(np.uint8))


def _refuse_unused_bits(image: Image.Image) -> None:
    """Refuse colors of 16 bits whose upper four are empty: Pillow keeps the upper eight, which are black then."""
    largest = int(np.asarray(image.convert("RGB")).max())
    if 0 < largest < 16:
        reason = "16 bits a color of which only the lower 12 are used, which is black; save it with 8 bits a color"
        raise PhotoError(f"Expected a photo that uses its bits. Received: {reason}.", reason)


# --- object stores ---
#
# Photos at `s3://bucket/photos` and `gs://bucket/photos`, through Arrow, which parquet needs anyway. An address is a
# photo's path in the list of photos and in all that follows; its bytes are read where it is decoded.
#
# Credentials, region and endpoint come from the places where the provider's own tools look for them
# (https://arrow.apache.org/docs/python/filesystems.html): `AWS_ACCESS_KEY_ID`, `AWS_ENDPOINT_URL`, `~/.aws`, the
# machine's role; `GOOGLE_APPLICATION_CREDENTIALS`. None of them belongs into an address, which is recorded.

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
        raise _refuse_store(address, error) from error
    return content


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
        raise _refuse_store(address, error) from error
    root = PurePosixPath(prefix)
    return sorted(PurePosixPath(one.path).relative_to(root).as_posix() for one in found if one.type == FileType.File)


def _locate(address: str) -> tuple["FileSystem", str]:
    """The store, and the path in it, which starts with the bucket."""
    matched = ADDRESS.match(address)
    if matched is None:
        hidden = re.sub(r"//[^/]*@", "//...@", address)  # what stands before an @ may be a key
        raise ConvLensError(
            f"Expected an address such as s3://bucket/photos. Received: {hidden}. Credentials, region and "
            "endpoint do not belong into it: set AWS_ACCESS_KEY_ID, AWS_REGION, AWS_ENDPOINT_URL and the like."
        )
    scheme, bucket, key = matched.groups()
    return _open_store(scheme, bucket), f"{bucket}{key or ''}".rstrip("/")


@cache
def _open_store(scheme: str, bucket: str) -> "FileSystem":
    """One connection per bucket and process: opening it asks for the bucket's region."""
    from pyarrow.fs import FileSystem

    try:
        store: FileSystem = FileSystem.from_uri(f"{scheme}://{bucket}")[0]
    except (OSError, ValueError) as error:
        raise _refuse_store(f"{scheme}://{bucket}", error) from error
    return store


def _refuse_store(address: str, error: Exception) -> ConvLensError:
    words = " ".join(str(error).split())[:300]
    return ConvLensError(
        f"Expected an object store that answers for {address}. Received: {words}. Check the address, the network and "
        "your credentials (AWS_ACCESS_KEY_ID, AWS_ENDPOINT_URL, AWS_REGION; GOOGLE_APPLICATION_CREDENTIALS)."
    )


# --- photos by their path in the list of photos: a file or an address ---


def read_with_digest(path: str) -> tuple[Path | bytes, str]:
    """Read a photo once: what the loader takes, and the sha256 of exactly that.

    Returns:
        The bytes of a file or an object (of a file above 16 MB its path), and their digest in hexadecimal.

    Raises:
        PhotoError: there is no such photo, or it cannot be read.
        ConvLensError: the object store does not answer or refuses.
    """
    try:
        if is_address(path):
            content = read_object(path)
        elif _check_file(Path(path)) > WHOLE_BYTES:
            with open(path, "rb") as file:
                return Path(path), hashlib.file_digest(file, "sha256").hexdigest()
        else:
            content = Path(path).read_bytes()
    except FileNotFoundError:
        message = f"Expected a photo. Received: {path}, which does not exist."
        raise PhotoError(message, "the file does not exist") from None
    except OSError as error:
        raise PhotoError(f"Expected a readable photo. Received: {path}: {_tell(error)}", _tell(error)) from error
    return content, hashlib.sha256(content).hexdigest()


def digest_photo(path: str) -> tuple[int, str]:
    """Size in bytes and sha256 of a photo; 0 and '' if it cannot be read. Of a file not more than a block is in memory.

    Pipes and devices are not opened: their reader would wait for ever.

    Raises:
        ConvLensError: the object store does not answer or refuses.
    """
    try:
        if is_address(path):
            content = read_object(path)
            return len(content), hashlib.sha256(content).hexdigest()
        _check_file(Path(path))
        with open(path, "rb") as file:
            return os.fstat(file.fileno()).st_size, hashlib.file_digest(file, "sha256").hexdigest()
    except (OSError, PhotoError):
        return 0, ""


def load_with_digest(path: str, settings: LoaderSettings) -> tuple[np.ndarray, str]:
    """Decode a photo to the array the network gets, see `load_photo`, and tell the sha256 of its bytes.

    Raises:
        PhotoError: the photo cannot be read (any more); the message names it.
    """
    content, digest = read_with_digest(path)
    try:
        return load_photo(content, settings), digest
    except PhotoError as error:  # the loader saw nothing but the bytes
        raise PhotoError(str(error).replace("Received: the photo", f"Received: {path}"), error.reason) from error
