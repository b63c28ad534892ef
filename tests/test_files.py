import io
import json
import os
import resource
import zipfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from convlens.errors import ConvLensError
from convlens.files import (
    decode_arrays,
    encode_arrays,
    encode_jpeg,
    encode_png,
    evenly_spaced,
    new_folder,
    read_csv,
    read_json,
    read_parquet,
    round_array,
    round_number,
    round_table,
    write_arrays,
    write_bytes,
    write_csv,
    write_json,
    write_parquet,
    write_text,
    write_together,
)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture
def full_disk() -> None:
    """No file may grow beyond 4 kB while the test runs."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    yield
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_files_replace_what_was_there(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_bytes(path, b"first")
    write_text(path, "zweitens: ü\n")
    assert path.read_bytes() == "zweitens: ü\n".encode()
    assert names(path.parent) == ["file"]


def test_a_failed_write_leaves_what_was_there(tmp_path: Path, full_disk: None) -> None:
    path = tmp_path / "file"
    write_bytes(path, b"first")
    with pytest.raises(ConvLensError, match=r"Expected to write .*file\. Received: File too large\."):
        write_bytes(path, bytes(10_000))
    assert path.read_bytes() == b"first"
    assert names(tmp_path) == ["file"]


def test_several_files_are_written_all_or_none(tmp_path: Path, full_disk: None) -> None:
    write_text(tmp_path / "first", "as it was")
    with pytest.raises(ConvLensError, match=r"Expected to write .*second\. Received: File too large\."):
        write_together({tmp_path / "first": b"new", tmp_path / "second": bytes(10_000), tmp_path / "third": b""})
    assert names(tmp_path) == ["first"]
    assert (tmp_path / "first").read_text() == "as it was"


def test_a_path_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    write_text(tmp_path / "file", "")
    for path in (tmp_path / "file" / "below", tmp_path / ("x" * 300)):
        with pytest.raises(ConvLensError, match="Expected to write"):
            write_text(path, "")
    (tmp_path / "folder").mkdir()
    with pytest.raises(ConvLensError, match="Expected to write"):
        write_text(tmp_path / "folder", "")
    assert names(tmp_path) == ["file", "folder"]


def test_json_is_exact(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"b": 0.1, "a": ["ü"]})
    assert (tmp_path / "a.json").read_text(encoding="utf-8") == '{\n  "b": 0.1,\n  "a": [\n    "ü"\n  ]\n}\n'
    with pytest.raises(ValueError, match="Out of range"):
        write_json(tmp_path / "a.json", {"a": float("nan")})
    assert json.loads((tmp_path / "a.json").read_text(encoding="utf-8"))["b"] == 0.1


@pytest.mark.parametrize("name", ["plain", 'quo"ted', "com,ma", "new\nline", "carriage\rreturn", "both\r\n", "NA", ""])
def test_csv_keeps_every_name(name: str, tmp_path: Path) -> None:
    table = pd.DataFrame({"path": [name, "next"], "value": [0.1, 1 / 3]})
    write_csv(tmp_path / "a.csv", table)
    read = read_csv(tmp_path / "a.csv", text=["path", "label"])
    assert read["path"].tolist() == [name, "next"]
    assert read["value"].tolist() == [0.1, 1 / 3]


def test_csv_has_unix_line_ends(tmp_path: Path) -> None:
    write_csv(tmp_path / "a.csv", pd.DataFrame({"a": [1, 2], "b": ["x", "y"]}))
    assert (tmp_path / "a.csv").read_bytes() == b"a,b\n1,x\n2,y\n"


def test_parquet_goes_there_and_back(tmp_path: Path) -> None:
    table = pd.DataFrame({"path": ["a\nb", "ü"], "regions": [[], [{"name": "nose", "left": 1.0}]]}, index=[5, 3])
    write_parquet(tmp_path / "a.parquet", table)
    read = read_parquet(tmp_path / "a.parquet")
    assert read["path"].tolist() == ["a\nb", "ü"]
    assert [list(cell) for cell in read["regions"]] == [[], [{"name": "nose", "left": 1.0}]]
    first = (tmp_path / "a.parquet").read_bytes()
    write_parquet(tmp_path / "a.parquet", table)
    assert (tmp_path / "a.parquet").read_bytes() == first


def test_a_missing_or_broken_table_is_told(tmp_path: Path) -> None:
    with pytest.raises(
        ConvLensError, match=r"Expected the table .*a\.parquet.*Received: nothing there\. Run `dvc repro`"
    ):
        read_parquet(tmp_path / "a.parquet")
    write_text(tmp_path / "a.parquet", "no table")
    with pytest.raises(ConvLensError, match=r"Expected the table .*a\.parquet") as caught:
        read_parquet(tmp_path / "a.parquet")
    assert "\n" not in str(caught.value)
    for read in (read_json, read_csv):
        with pytest.raises(ConvLensError, match=r"Expected .*b\. of an earlier stage\. Received: nothing there"):
            read(tmp_path / "b.")
    write_text(tmp_path / "b.", "")
    for read in (read_json, read_csv):
        with pytest.raises(ConvLensError, match=r"Expected .*b\. of an earlier stage\. Received: (Expecting|No)"):
            read(tmp_path / "b.")


def test_a_new_folder_takes_the_old_ones_place(tmp_path: Path) -> None:
    target = tmp_path / "deep" / "result"
    for content in ("first", "second"):
        with new_folder(target) as folder:
            assert list(folder.iterdir()) == []
            assert folder.parent == target.parent  # one rename, not a copy from another disk
            write_text(folder / content, content)
        assert names(target) == [content]
    assert names(target.parent) == ["result"]


@pytest.mark.parametrize("error", [ValueError("broken"), KeyboardInterrupt()])
def test_a_failed_block_leaves_the_old_folder(error: BaseException, tmp_path: Path) -> None:
    with new_folder(tmp_path / "result") as folder:
        write_text(folder / "first", "")

    def fail() -> None:
        with new_folder(tmp_path / "result") as folder:
            write_text(folder / "second", "")
            raise error

    with pytest.raises(type(error)):
        fail()
    assert names(tmp_path) == ["result"]
    assert names(tmp_path / "result") == ["first"]


def test_a_full_disk_leaves_the_old_folder(tmp_path: Path, full_disk: None) -> None:
    with new_folder(tmp_path / "result") as folder:
        write_text(folder / "first", "")

    def fill() -> None:
        with new_folder(tmp_path / "result") as folder, open(folder / "second", "wb") as file:
            file.write(bytes(10_000))

    with pytest.raises(ConvLensError, match=r"Expected to write .*result\. Received: File too large"):
        fill()
    assert names(tmp_path / "result") == ["first"]
    assert names(tmp_path) == ["result"]


def test_what_a_killed_process_left_is_cleared(tmp_path: Path) -> None:
    (tmp_path / ".result.99999.part").mkdir()
    (tmp_path / ".result.99999.part" / "half").write_text("")
    (tmp_path / ".other.1.part").mkdir()
    with new_folder(tmp_path / "result"):
        pass
    assert names(tmp_path) == [".other.1.part", "result"]
    for name in (".a.json.99999.part", ".a[1].parquet.99999.part", ".b.json.99999.part"):
        (tmp_path / name).write_text("half")
    write_json(tmp_path / "a.json", {})
    write_parquet(tmp_path / "a[1].parquet", pd.DataFrame({"a": [1]}))
    assert names(tmp_path) == [".b.json.99999.part", ".other.1.part", "a.json", "a[1].parquet", "result"]


def test_a_link_is_replaced_not_followed(tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    write_text(tmp_path / "precious" / "photo", "")
    os.symlink(tmp_path / "precious", tmp_path / "result")
    with new_folder(tmp_path / "result") as folder:
        write_text(folder / "new", "")
    assert names(tmp_path / "precious") == ["photo"]
    assert names(tmp_path / "result") == ["new"]
    assert not (tmp_path / "result").is_symlink()


# --- arrays, pictures, rounding, samples ---


def test_arrays_come_back_and_nothing_else_is_stored(tmp_path: Path) -> None:
    arrays = {"pixels": np.arange(6, dtype=np.uint8).reshape(2, 3), "nothing": np.zeros((0, 4)), "one": np.float32(0.5)}
    content = encode_arrays(arrays)
    found = decode_arrays(content)
    assert list(found) == list(arrays)
    for name, values in arrays.items():
        assert found[name].dtype == values.dtype
        np.testing.assert_array_equal(found[name], values)
    entries = zipfile.ZipFile(io.BytesIO(content)).infolist()
    assert {(entry.date_time, entry.flag_bits) for entry in entries} == {((1980, 1, 1, 0, 0, 0), 0)}
    write_arrays(tmp_path / "a.npz", arrays)
    assert (tmp_path / "a.npz").read_bytes() == content


@pytest.mark.parametrize("content", [b"", b"text", encode_arrays({"a": np.arange(99)})[:-50]])
def test_what_is_no_arrays_is_a_value_error(content: bytes) -> None:
    with pytest.raises(ValueError, match=r"\w"):
        decode_arrays(content)


def test_pictures_become_the_bytes_that_pillow_writes() -> None:
    pixels = np.random.default_rng(0).integers(0, 255, (8, 9, 3)).astype(np.uint8)
    np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(encode_png(pixels)))), pixels)
    assert encode_png(Image.fromarray(pixels)) == encode_png(pixels)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88)
    assert encode_jpeg(pixels, 88) == buffer.getvalue()
    assert len({encode_jpeg(pixels, 88, subsampling=value) for value in (0, 1, 2)}) == 3


def test_numbers_keep_seven_significant_digits_or_as_many_as_asked() -> None:
    assert round_number(123456.78949) == 123456.8
    assert round_number(1.23456e-9, 3) == 1.23e-9
    np.testing.assert_array_equal(round_array(np.array([[1 / 3, np.nan]])), [[0.3333333, np.nan]])
    assert round_array(np.zeros((0, 2))).shape == (0, 2)
    table = round_table(pd.DataFrame({"count": [12345678], "share": [2 / 3], "name": ["x"]}))
    assert table.to_dict("list") == {"count": [12345678], "share": [0.6666667], "name": ["x"]}


@pytest.mark.parametrize(
    ("count", "most", "expected"), [(0, 3, []), (2, 3, [0, 1]), (5, 3, [0, 2, 4]), (9, 1, [0]), (4, 0, [])]
)
def test_samples_are_evenly_spaced_and_keep_both_ends(count: int, most: int, expected: list[int]) -> None:
    assert evenly_spaced(count, most).tolist() == expected
