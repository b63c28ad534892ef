"""Files written whole or not at all, the same bytes for the same values: text, tables, arrays, pictures, folders."""

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from convlens.errors import ConvLensError

# --- Rounding and samples ---

DIGITS = 7  # significant digits that files keep: what float32 holds; more would show one machine's rounding as a change


def round_number(value: float, digits: int = DIGITS) -> float:
    """Round a number to significant digits."""
    return float(f"{value:.{digits}g}")


def round_array(values: np.ndarray, digits: int = DIGITS) -> np.ndarray:
    """Round numbers to significant digits; gives float64 of the same shape."""
    return np.array([round_number(value, digits) for value in values.ravel().tolist()], float).reshape(values.shape)


def round_table(table: pd.DataFrame, digits: int = DIGITS) -> pd.DataFrame:
    """Round the floats of a table to significant digits; what is undefined becomes NaN."""
    numbers = table.select_dtypes("number").columns.difference(table.select_dtypes("integer").columns)
    return table.assign(**{str(name): round_array(table[name].to_numpy(dtype=float), digits) for name in numbers})


def evenly_spaced(count: int, most: int) -> np.ndarray:
    """Choose at most `most` of the indices 0 to count - 1, evenly, the first and the last among them.

    Returns:
        int64, rising; all indices if there are no more than `most`.
    """
    return np.unique(np.linspace(0, max(count - 1, 0), min(most, count)).round().astype(np.int64))


# --- Values as the content of a file: the bytes depend on the values alone, never on times or releases of Python ---


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """Encode arrays as the content of a `.npz` file, which `numpy.load` opens without pickle.

    `numpy.savez` gives other bytes under other patch releases of Python 3.11 (CPython issue 103861), which a digest in
    `dvc.lock` does not forgive.

    Args:
        arrays: any shapes and types but objects, by name.
    """
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, values in arrays.items():
            content = io.BytesIO()
            np.lib.format.write_array(content, np.asanyarray(values), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"{name}.npy"), content.getvalue())
    return buffer.getvalue()


def decode_arrays(content: bytes) -> dict[str, np.ndarray]:
    """Read the arrays of a `.npz` file from its content.

    Raises:
        ValueError: it is none, is cut short, or holds Python objects.
    """
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
            return dict(arrays)
    except (OSError, EOFError, KeyError, TypeError, AttributeError, zipfile.BadZipFile) as error:
        raise ValueError(str(error) or "no arrays") from error


def encode_png(picture: Image.Image | np.ndarray, *, optimize: bool = False) -> bytes:
    """Encode a picture, uint8 (height, width) or (height, width, channels), as PNG."""
    return _encode_picture(picture, "PNG", optimize=optimize)


def encode_jpeg(
    picture: Image.Image | np.ndarray, quality: int, *, optimize: bool = False, subsampling: int = -1
) -> bytes:
    """Encode a picture, uint8 (height, width) or (height, width, 3), as JPEG.

    Args:
        picture: values 0 to 255.
        quality: Pillow's, 1 to 95.
        optimize: look for smaller tables.
        subsampling: of the color channels: 0 (4:4:4), 1 (4:2:2), 2 (4:2:0); -1 leaves it to Pillow.
    """
    return _encode_picture(picture, "JPEG", quality=quality, optimize=optimize, subsampling=subsampling)


def _encode_picture(picture: Image.Image | np.ndarray, kind: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def json_bytes(values: Any) -> bytes:
    """Encode plain values as indented JSON; NaN and infinity are refused."""
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """Encode a table as CSV without its index; floats with their shortest exact digits."""
    # Python before 3.13 leaves a lone carriage return in a name unquoted, and readers take it for a line end.
    content = table.to_csv(index=False, lineterminator="\n")
    if "\r" in content:
        content = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return content.encode("utf-8")


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """Encode a table as parquet without its index."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


# --- Writing: a temporary neighbor first, then one rename ---


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there.

    Raises:
        ConvLensError: the disk is full or the folder cannot be written to.
    """
    with _replacing(path) as part:
        part.write_bytes(content)


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or, where one finds no room, none; remove what a killed process left of them.

    Raises:
        ConvLensError: the disk is full or a folder cannot be written to. What was there is still there.
    """
    with ExitStack() as parts:
        for path, content in reversed(list(contents.items())):  # renamed in the order given
            clear_leftovers(path)
            parts.enter_context(_replacing(path)).write_bytes(content)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_together({path: text.encode("utf-8")})


def write_json(path: Path, values: Any) -> None:
    """Write plain values as indented JSON, whole or not at all; NaN and infinity are refused."""
    write_together({path: json_bytes(values)})


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table as CSV without its index, whole or not at all; floats with their shortest exact digits."""
    write_together({path: csv_bytes(table)})


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet without its index, whole or not at all."""
    write_together({path: parquet_bytes(table)})


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write arrays as `.npz`, whole or not at all, the same bytes for the same arrays."""
    write_together({path: encode_arrays(arrays)})


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder that takes the place of `path` when the block ends well.

    Raises:
        ConvLensError: the disk is full or the folder cannot be written to.
    """
    clear_leftovers(path)
    with _replacing(path) as part:
        part.mkdir()
        yield part


def clear_leftovers(path: Path) -> None:
    """Remove what killed processes left beside `path`."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*.part"):
        _remove(leftover)


_checks: list[Callable[[Path], None]] = []


@contextmanager
def before_replacing(check: Callable[[Path], None]) -> Iterator[None]:
    """Have a check see every path of this process before something new takes its place.

    Args:
        check: gets the path; an error that it raises leaves there what was there.
    """
    _checks.append(check)
    try:
        yield
    finally:
        _checks.remove(check)


@contextmanager
def _replacing(path: Path) -> Iterator[Path]:
    """Name a neighbor of `path` that takes its place when the block ends well, and is removed when it does not."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        yield part
        for check in _checks:
            check(path)
        if part.is_dir() and (path.exists() or path.is_symlink()):  # a folder takes no place that is not empty
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        os.replace(part, path)
    except OSError as error:
        raise ConvLensError(
            f"Expected to write {path}. Received: {error.strerror or error}. Free space or permissions."
        ) from error
    finally:
        _remove(part)


def _remove(path: Path) -> None:
    with suppress(OSError):
        shutil.rmtree(path) if path.is_dir() else path.unlink(missing_ok=True)


# --- Reading what an earlier stage wrote ---


def read_json(path: Path) -> Any:
    """Read a JSON file of an earlier stage.

    Raises:
        ConvLensError: the file is missing or is not JSON.
    """
    with _reading(path, "JSON in"):
        return json.loads(path.read_text(encoding="utf-8"))


def read_csv(path: Path, text: Sequence[str] = ()) -> pd.DataFrame:
    """Read a CSV file of an earlier stage.

    Args:
        path: the file.
        text: columns that are text whatever they hold: a class may be called `0`, `007` or `NA`, a photo too. Those
            that the file lacks are left out.

    Raises:
        ConvLensError: the file is missing or is not CSV.
    """
    with _reading(path, "the table"):
        return pd.read_csv(path, converters=dict.fromkeys(text, str), float_precision="round_trip")


def read_parquet(path: Path) -> pd.DataFrame:
    """Read a parquet file of an earlier stage.

    Raises:
        ConvLensError: the file is missing or is no parquet file.
    """
    with _reading(path, "the table"):
        return pd.read_parquet(path)


@contextmanager
def _reading(path: Path, kind: str) -> Iterator[None]:
    try:
        yield
    except (OSError, ValueError) as error:  # pyarrow's and pandas' own errors are values out of place
        words = "nothing there" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise ConvLensError(
            f"Expected {kind} {path} of an earlier stage. Received: {words}. Run `dvc repro`."
        ) from error
