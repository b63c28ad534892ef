"""Files written whole or not at all: tables, JSON, folders and arrays that are the same byte for byte."""

import csv
import io
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from glob import escape
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError

# --- Arrays as the content of a `.npz` file, byte for byte the same for the same arrays ---


def encode_arrays(arrays: Mapping[str, np.ndarray]) -> bytes:
    """What `numpy.load` opens without pickle.

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


# --- rounding ---
# The digits that files keep: what float32 holds. More would turn one machine's rounding into a difference of runs.

DIGITS = 7


def round_array(values: np.ndarray) -> np.ndarray:
    """Numbers with the digits that files keep."""
    return np.array([round_number(float(value)) for value in values.ravel()]).reshape(values.shape)


def round_number(value: float) -> float:
    """A number with the digits that files keep."""
    return float(f"{value:.{DIGITS}g}")


def round_table(table: pd.DataFrame) -> pd.DataFrame:
    """Rounded floats; what is undefined becomes an empty cell."""
    numbers = table.select_dtypes("number").columns.difference(table.select_dtypes("integer").columns)
    return table.assign(**{str(name): round_array(table[name].to_numpy(dtype=float)) for name in numbers})


# --- Writing results whole or not at all: a temporary neighbor, then one rename ---
#
# The bytes depend on the values alone: keys in the order given, Unix line ends, no times.


def write_bytes(path: Path, content: bytes) -> None:
    """Write a file whole, or leave what was there.

    Raises:
        ConvLensError: the disk is full or the folder cannot be written to.
    """
    _write_all({path: content})


def write_together(contents: Mapping[Path, bytes]) -> None:
    """Write several files, all of them or, where one finds no room, none; remove what a killed process left of them.

    Raises:
        ConvLensError: the disk is full or a folder cannot be written to. What was there is still there.
    """
    for path in contents:
        _clear_leftovers(path)
    _write_all(contents)


def write_text(path: Path, text: str) -> None:
    """Write text as UTF-8, whole or not at all."""
    write_together({path: text.encode("utf-8")})


def write_json(path: Path, values: Any) -> None:
    """Write plain values as indented JSON; NaN and infinity are refused."""
    write_together({path: json_bytes(values)})


def write_csv(path: Path, table: pd.DataFrame) -> None:
    """Write a table without its index; floats with their shortest exact digits."""
    write_together({path: csv_bytes(table)})


def write_parquet(path: Path, table: pd.DataFrame) -> None:
    """Write a table as parquet without its index."""
    write_together({path: parquet_bytes(table)})


def json_bytes(values: Any) -> bytes:
    """What `write_json` writes."""
    return (json.dumps(values, indent=2, ensure_ascii=False, allow_nan=False) + "\n").encode("utf-8")


def csv_bytes(table: pd.DataFrame) -> bytes:
    """What `write_csv` writes."""
    # Python before 3.13 leaves a lone carriage return in a name unquoted, and readers take it for a line end.
    content = table.to_csv(index=False, lineterminator="\n")
    if "\r" in content:
        content = table.to_csv(index=False, lineterminator="\n", quoting=csv.QUOTE_ALL)
    return content.encode("utf-8")


def parquet_bytes(table: pd.DataFrame) -> bytes:
    """What `write_parquet` writes."""
    buffer = io.BytesIO()
    table.to_parquet(buffer, index=False)
    return buffer.getvalue()


def read_parquet(path: Path) -> pd.DataFrame:
    """Read what an earlier stage wrote.

    Raises:
        ConvLensError: the file is missing or is no parquet file.
    """
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # pyarrow's own errors are values out of place
        words = "nothing there" if isinstance(error, FileNotFoundError) else " ".join(str(error).split())
        raise ConvLensError(
            f"Expected the table {path} of an earlier stage. Received: {words}. Run `dvc repro`."
        ) from error


@contextmanager
def new_folder(path: Path) -> Iterator[Path]:
    """Give an empty temporary folder that takes the place of `path` when the block ends well.

    Raises:
        ConvLensError: the disk is full or the folder cannot be written to.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    _clear_leftovers(path)
    try:
        temporary.mkdir(parents=True)
        yield temporary
        _take_place(temporary, path)
    except OSError as error:
        raise _cannot_write(path, error) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _write_all(contents: Mapping[Path, bytes]) -> None:
    with ExitStack() as leftovers:
        ready = [(path, _write_beside(path, content, leftovers)) for path, content in contents.items()]
        for path, temporary in ready:
            try:
                os.replace(temporary, path)
            except OSError as error:
                raise _cannot_write(path, error) from error


def _write_beside(path: Path, content: bytes, leftovers: ExitStack) -> Path:
    """Write a temporary neighbor, which is removed at the end if it is still there."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.part")
    leftovers.callback(_remove, temporary)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content)
    except OSError as error:
        raise _cannot_write(path, error) from error
    return temporary


def _remove(file: Path) -> None:
    with suppress(OSError):
        file.unlink()


def _take_place(temporary: Path, path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)
    os.replace(temporary, path)


def _clear_leftovers(path: Path) -> None:
    """Remove what a killed process left behind."""
    for leftover in path.parent.glob(f".{escape(path.name)}.*.part"):
        if leftover.is_dir():
            shutil.rmtree(leftover, ignore_errors=True)
        else:
            leftover.unlink(missing_ok=True)


def _cannot_write(path: Path, error: OSError) -> ConvLensError:
    return ConvLensError(f"Expected to write {path}. Received: {error.strerror or error}. Free space or permissions.")
