from pathlib import Path

import pytest

from convlens.data.sources import read_labels
from convlens.errors import ConvLensError


def test_its_columns_come_to_their_photos(tmp_path: Path) -> None:
    (tmp_path / "labels.csv").write_text("\ufeffpath,breed,camera\ncats/b.jpg,NA,old\ngone.jpg,x,y\n", encoding="utf-8")
    paths = [f"{tmp_path.as_posix()}/cats/{name}.jpg" for name in "ab"]
    table, strangers = read_labels(tmp_path, paths)
    assert table.to_dict("list") == {"extra_breed": ["", "NA"], "extra_camera": ["", "old"]}
    assert strangers == [f"{tmp_path.as_posix()}/gone.jpg"]


def test_without_the_file_there_are_no_columns(tmp_path: Path) -> None:
    table, strangers = read_labels(tmp_path, ["a.jpg", "b.jpg"])
    assert (table.shape, strangers) == ((2, 0), [])


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("file,breed\na,b\n", r"Expected the columns path in .*labels\.csv\. Received: no path, but file, breed\."),
        ("path\na\na\n", r"Expected every photo once in .*labels\.csv\. Received: 'a' twice"),
        ("", r"Expected a CSV file at .*labels\.csv"),
    ],
)
def test_what_is_wrong_is_told(tmp_path: Path, content: str, told: str) -> None:
    (tmp_path / "labels.csv").write_text(content)
    with pytest.raises(ConvLensError, match=told):
        read_labels(tmp_path, ["a"])
