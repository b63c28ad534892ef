import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import yaml
from photo_files import ROOT, write_classes, write_photo

from convlens.data.cards import SyntheticCard, UrlCard, read_card
from convlens.data.sources import describe_notes, describe_photos, list_folder, read_labels, read_regions
from convlens.errors import ConvLensError

# --- folders ---


def listed(folder: Path) -> dict[str, tuple[str, str]]:
    """Path below the folder -> (label, split)."""
    return {
        Path(photo.path).relative_to(folder).as_posix(): (photo.label, photo.split) for photo in list_folder(folder)
    }


def touch(folder: Path, *names: str) -> Path:
    for name in names:
        write_photo(folder / name, b"photo")
    return folder


def test_class_folders_are_listed_in_order(tmp_path: Path) -> None:
    touch(tmp_path, "dogs/b.jpg", "cats/1.jpg", "dogs/a.JPG")
    assert list(listed(tmp_path).items()) == [
        ("cats/1.jpg", ("cats", "")),
        ("dogs/a.JPG", ("dogs", "")),
        ("dogs/b.jpg", ("dogs", "")),
    ]


def test_paths_are_as_the_source_was_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    touch(tmp_path / "photos", "a/1.jpg", "b/1.jpg")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    assert [photo.path for photo in list_folder(Path("../photos"))] == ["../photos/a/1.jpg", "../photos/b/1.jpg"]


def test_folders_inside_class_folders_belong_to_the_class(tmp_path: Path) -> None:
    touch(tmp_path, "cats/gray/old/1.jpg", "cats/2.jpg", "dogs/1.jpg")
    assert listed(tmp_path) == {
        "cats/2.jpg": ("cats", ""),
        "cats/gray/old/1.jpg": ("cats", ""),
        "dogs/1.jpg": ("dogs", ""),
    }


def test_hidden_files_and_junk_are_passed_over(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "a/Thumbs.db", "a/.DS_Store", "a/desktop.ini", "a/._1.jpg", "b/Icon\r")
    touch(tmp_path, "__MACOSX/a/1.jpg", ".git/config", "a/.cache/1.jpg", "README.md", "a.jpg")
    assert describe_notes(tmp_path) == "passed over beside the photos: 1 .md."
    touch(
        tmp_path, "a/1.xml", "a/1.TXT", "b/2.xml", "b/notes.md", "b/LICENSE", "labels.csv", "@eaDir/1.xml", "b/.1.xml"
    )
    told = "passed over beside the photos: 2 .md, 1 .txt, 2 .xml, 1 LICENSE."
    assert describe_notes(tmp_path) == told
    touch(tmp_path, "a/@eaDir/1.jpg/SYNOFILE_THUMB_M.jpg", "@eaDir/a@SynoResource", "a/1.jpg@SynoResource")
    touch(tmp_path, "#recycle/a/2.jpg", "lost+found/2.jpg", "b/.@__thumb/1.jpg", "$RECYCLE.BIN/2.jpg")
    assert sorted(listed(tmp_path)) == ["a/1.jpg", "b/1.jpg"]


def test_names_may_be_unusual(tmp_path: Path) -> None:
    names = ["Kätzchen/großes Foto (1).jpg", "Kätzchen/two\nlines.jpg", "犬/写真 🐶.jpg", "犬/" + "x" * 200 + ".jpg"]
    touch(tmp_path, *names)
    assert sorted(listed(tmp_path)) == sorted(names)
    table = describe_photos(list_folder(tmp_path), {})
    table.to_parquet(tmp_path / "photos.parquet")
    assert list(pd.read_parquet(tmp_path / "photos.parquet")["path"]) == list(table["path"])


@pytest.mark.skipif(sys.platform == "darwin", reason="macOS has UTF-8 names only")
def test_a_name_that_is_not_utf8_is_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    os.rename(tmp_path / "a/1.jpg", os.fsencode(tmp_path / "a") + b"/caf\xe9.jpg")
    with pytest.raises(ConvLensError, match=r"Expected file names in UTF-8\. Received: b'caf\\xe9\.jpg'"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    "names", [("Cats", "cats"), ("cats", "cats "), ("big cats", "big  cats"), ("K\u00e4tzchen", "Ka\u0308tzchen")]
)
def test_classes_of_nearly_the_same_name_are_refused(names: tuple[str, str], tmp_path: Path) -> None:
    touch(tmp_path, *(f"{name}/1.jpg" for name in (*names, "dogs")))
    with pytest.raises(ConvLensError, match="names differ in more than case, blanks or Unicode form") as told:
        list_folder(tmp_path)
    assert all(ascii(name) in str(told.value) for name in names)


@pytest.mark.parametrize("split", ["train", "test"])
def test_classes_of_nearly_the_same_name_are_refused_across_splits(split: str, tmp_path: Path) -> None:
    touch(tmp_path, f"{split}/cats/1.jpg", f"{split}/dogs/1.jpg", "val/Cats/1.jpg", "val/dogs/1.jpg")
    with pytest.raises(ConvLensError, match="Received: 'Cats' and 'cats'"):
        list_folder(tmp_path)


def test_a_wrapper_folder_is_stepped_into(tmp_path: Path) -> None:
    touch(tmp_path, "pets-master/images/cats/1.jpg", "pets-master/images/dogs/1.jpg", "pets-master/README")
    assert set(listed(tmp_path).values()) == {("cats", ""), ("dogs", "")}


@pytest.mark.parametrize("wrapper", ["", "cats_and_dogs_filtered/"])
def test_a_sources_own_split_is_kept(wrapper: str, tmp_path: Path) -> None:
    names = ["train/cats/1.jpg", "train/dogs/1.jpg", "Validation/cats/2.jpg", "Validation/dogs/2.jpg"]
    touch(tmp_path, *(wrapper + name for name in [*names, "testing/cats/3.jpg", "testing/dogs/3.jpg", "vectorize.py"]))
    assert {name.removeprefix(wrapper): value for name, value in listed(tmp_path).items()} == {
        "train/cats/1.jpg": ("cats", "train"),
        "train/dogs/1.jpg": ("dogs", "train"),
        "Validation/cats/2.jpg": ("cats", "validation"),
        "Validation/dogs/2.jpg": ("dogs", "validation"),
        "testing/cats/3.jpg": ("cats", "test"),
        "testing/dogs/3.jpg": ("dogs", "test"),
    }


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    touch(tmp_path, "train/1.jpg", "plane/1.jpg")
    assert listed(tmp_path) == {"plane/1.jpg": ("plane", ""), "train/1.jpg": ("train", "")}


def test_classes_beside_split_folders_are_refused(tmp_path: Path) -> None:
    touch(tmp_path, "train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "extra/1.jpg")
    with pytest.raises(ConvLensError, match=r"Expected either class folders or split folders \(test, train\).*extra"):
        list_folder(tmp_path)


@pytest.mark.parametrize(
    ("names", "words"),
    [
        ([], "no class folder"),
        (["1.jpg", "2.jpg"], "no class folder"),
        (["cats/1.jpg"], r"one class only \('cats'\)"),
        (["train/cats/1.jpg"], r"one class only \('cats'\)"),
        (["cats/1.jpg", "dogs/.keep"], "Expected photos in every class folder. Received: .*dogs, which has none"),
        (["train/a/1.jpg", "train/b/1.jpg", "test/a/1.jpg", "test/b/Thumbs.db"], "test/b, which has none"),
    ],
)
def test_folders_that_are_no_data_set(names: list[str], words: str, tmp_path: Path) -> None:
    touch(tmp_path, *names)
    with pytest.raises(ConvLensError, match=words) as caught:
        list_folder(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match="which is no folder"):
        list_folder(write_photo(tmp_path / "photo.jpg", b"photo"))


def test_links_inside_are_followed_once(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg", "b/deep/2.jpg")
    (tmp_path / "a/linked.jpg").symlink_to(tmp_path / "b/1.jpg")
    (tmp_path / "b/again").symlink_to(tmp_path / "b/deep")
    (tmp_path / "a/loop").symlink_to(tmp_path / "a")
    assert sorted(listed(tmp_path)) == ["a/1.jpg", "a/linked.jpg", "b/1.jpg", "b/deep/2.jpg"]


def test_a_link_to_itself_is_a_photo_that_cannot_be_read(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "a/circle.jpg").symlink_to(tmp_path / "a/circle.jpg")
    assert sorted(listed(tmp_path)) == ["a/1.jpg", "a/circle.jpg", "b/1.jpg"]


@pytest.mark.parametrize(
    ("link", "target"),
    [("a/secret.jpg", "out/1.jpg"), ("a/deep", "out"), ("c", "out"), ("train", "split"), ("a/dead.jpg", "nowhere")],
)
def test_links_that_lead_out_are_refused(link: str, target: str, tmp_path: Path) -> None:
    source = touch(tmp_path / "source", "a/1.jpg", "b/1.jpg")
    touch(tmp_path, "out/1.jpg", "split/cats/1.jpg", "split/dogs/1.jpg")
    (source / link).symlink_to(tmp_path / target)
    with pytest.raises(ConvLensError, match=r"Expected photos inside .*the link .*, which leads out to"):
        list_folder(source)


def test_a_linked_source_and_a_loop_end_well(tmp_path: Path) -> None:
    source = touch(tmp_path / "source", "a/1.jpg", "b/1.jpg")
    (tmp_path / "link").symlink_to(source)
    assert sorted(listed(tmp_path / "link")) == ["a/1.jpg", "b/1.jpg"]
    (tmp_path / "loop").mkdir()
    (tmp_path / "loop/loop").symlink_to(tmp_path / "loop")
    with pytest.raises(ConvLensError, match="class"):
        list_folder(tmp_path / "loop")


def test_photos_are_described(tmp_path: Path) -> None:
    write_classes(tmp_path, {"a": 1})
    write_photo(tmp_path / "b/x.jpg", b"")
    (tmp_path / "b/dead.jpg").symlink_to(tmp_path / "b/nothing")
    os.mkfifo(tmp_path / "b/pipe.jpg")
    paths = [f"{tmp_path}/{name}" for name in ("a/000.png", "b/dead.jpg", "b/pipe.jpg", "b/x.jpg")]
    box = {"name": "nose", "left": 1.0, "top": 2.0, "right": 3.0, "bottom": 4.0}
    table = describe_photos(list_folder(tmp_path), {paths[0]: [box]})
    size = (tmp_path / "a/000.png").stat().st_size
    empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
    assert list(table.columns) == ["path", "label", "bytes", "sha256", "split", "regions"]
    assert list(table["path"]) == paths
    assert list(table["bytes"]) == [size, 0, 0, 0]
    assert list(table["sha256"])[1:] == ["", "", empty]
    assert list(table["regions"]) == [[box], [], [], []]


def write_regions(folder: Path, text: str) -> None:
    (folder / "regions.csv").write_text(text, encoding="utf-8")


HEADER = "path,region,left,top,right,bottom\n"


@pytest.mark.parametrize("wrapper", ["", "pets/"])
def test_regions_are_read(wrapper: str, tmp_path: Path) -> None:
    touch(tmp_path, wrapper + "a/1.jpg", wrapper + "b/NA.jpg")
    write_regions(tmp_path / wrapper, HEADER + "a/1.jpg,nose,1,2,3.5,4\na/1.jpg,NA,0,0,9,9\n./b/NA.jpg,ear,1,1,2,2\n")
    root = f"{tmp_path}/{wrapper}"
    assert read_regions(tmp_path) == {
        f"{root}a/1.jpg": [
            {"name": "nose", "left": 1.0, "top": 2.0, "right": 3.5, "bottom": 4.0},
            {"name": "NA", "left": 0.0, "top": 0.0, "right": 9.0, "bottom": 9.0},
        ],
        f"{root}b/NA.jpg": [{"name": "ear", "left": 1.0, "top": 1.0, "right": 2.0, "bottom": 2.0}],
    }


def test_no_regions(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    assert read_regions(tmp_path) == {}
    write_regions(tmp_path, HEADER)
    assert read_regions(tmp_path) == {}


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "Expected a CSV file at .*regions.csv"),
        ("\0\1\2" * 9, "Expected .* in .*regions.csv"),
        ('path,"unfinished\n', "Expected a CSV file at .*regions.csv|Expected the columns"),
        ("path,region,left,top\na/1.jpg,nose,1,2\n", "Received: no right, bottom"),
        (HEADER + "a/1.jpg,nose,1,2,x,4\n", "Received: 1, 2, x, 4 for 'nose' of 'a/1.jpg'"),
        (HEADER + "a/1.jpg,nose,1,2,,4\n", "Received: 1, 2, , 4"),
        (HEADER + "a/1.jpg,nose,3,2,1,4\n", "left < right"),
        (HEADER + "a/1.jpg,nose,1,2,3,2\n", "top < bottom"),
        (HEADER + "a/1.jpg,nose,1,2,inf,4\n", "boxes of numbers"),
        (HEADER + "a/1.jpg,nose,nan,2,3,4\n", "boxes of numbers"),
        (HEADER + "a/1.jpg,nose,1,2,3,4,5,6,7\na/1.jpg,nose,1,2,3,4,5,6,7,8,9,10\n", "Expected "),
    ],
)
def test_broken_regions_are_told(text: str, words: str, tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    write_regions(tmp_path, text)
    with pytest.raises(ConvLensError, match=words) as caught:
        read_regions(tmp_path)
    assert "\n" not in str(caught.value)


def test_regions_that_are_not_text_are_told(tmp_path: Path) -> None:
    touch(tmp_path, "a/1.jpg", "b/1.jpg")
    (tmp_path / "regions.csv").write_bytes(b"\xff\xfe\xfa\xc3" * 20)
    with pytest.raises(ConvLensError, match=r"Expected .*regions\.csv"):
        read_regions(tmp_path)


LISTER = """
import os, sys
from pathlib import Path
from convlens.errors import ConvLensError
from convlens.data.sources import list_folder
os.setgid(65534); os.setuid(65534)
try:
    list_folder(Path(sys.argv[1]))
except ConvLensError as error:
    print(error)
"""


@pytest.mark.skipif(not hasattr(os, "setuid") or os.getuid() != 0, reason="as nobody else there is nobody to become")
def test_a_folder_that_may_not_be_listed_is_told() -> None:
    """The super-user may list all, so another user tries."""
    with tempfile.TemporaryDirectory() as name:
        source = Path(name)
        source.chmod(0o755)
        touch(source, "a/1.jpg", "b/1.jpg")
        (source / "b").chmod(0)
        done = subprocess.run([sys.executable, "-c", LISTER, name], capture_output=True, text=True, timeout=60, cwd="/",
                              env={"PYTHONPATH": str(ROOT / "src")}, check=False)  # fmt: skip
        (source / "b").chmod(0o755)
    assert done.stdout == f"Expected to list {name}/b. Received: Permission denied. Check its permissions.\n", (
        done.stderr
    )


# --- labels.csv ---


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


# --- cards ---


SYNTHETIC: dict[str, Any] = {"kind": "synthetic", "name": "tiny", "license": "CC0-1.0", "recipe": {"num_photos": 8}}
URL: dict[str, Any] = {
    "kind": "url",
    "name": "pets",
    "license": "CC0-1.0",
    "url": "https://example.com/pets.zip",
    "sha256": "ab" * 32,
}


def write_card(folder: Path, values: Any) -> Path:
    path = folder / "card.yaml"
    path.write_text(values if isinstance(values, str) else yaml.safe_dump(values))
    return path


def test_every_shipped_card_is_valid() -> None:
    kinds = {path.stem: type(read_card(path)) for path in (ROOT / "data" / "cards").glob("*.yaml")}
    assert kinds == {"synthetic": SyntheticCard, "cats-and-dogs-filtered": UrlCard}


def test_the_default_card_paints_about_1200_photos() -> None:
    card = read_card(ROOT / "data" / "cards" / "synthetic.yaml")
    assert isinstance(card, SyntheticCard)
    assert 1000 <= card.recipe.num_photos <= 1500


def test_cards_are_read(tmp_path: Path) -> None:
    painted = read_card(write_card(tmp_path, SYNTHETIC))
    assert isinstance(painted, SyntheticCard)
    assert painted.recipe.num_photos == 8
    url = read_card(write_card(tmp_path, {**URL, "bytes": 12}))
    assert isinstance(url, UrlCard)
    assert (url.url, url.sha256, url.bytes) == ("https://example.com/pets.zip", "ab" * 32, 12)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({**SYNTHETIC, "kind": "drawn"}, r"Expected a card with kind: synthetic, url or store in .*Received: 'drawn'"),
        ({**SYNTHETIC, "kind": ["synthetic"]}, r"Received: \['synthetic'\]"),
        ({"name": "x"}, "Received: None"),
        ("", "Received: None"),
        ("- a\n- b\n", "Received: None"),
        ("just words", "Received: None"),
        ("a: [", "Expected valid YAML"),
        ({**SYNTHETIC, "color": 1}, "unknown parameter 'color'"),
        ({**SYNTHETIC, "recipe": {"size": 3}}, "unknown parameter 'recipe.size'"),
        ({**SYNTHETIC, "recipe": {"num_photos": 0}}, "expected recipe.num_photos to be greater than or equal to 1"),
        (
            {**SYNTHETIC, "recipe": {"num_photos": "8"}},
            'expected recipe.num_photos to be a valid integer. Received: "8"',
        ),
        ({**SYNTHETIC, "recipe": {"num_photos": 1}}, "recipe: Expected num_photos >= 2"),
        ({**SYNTHETIC, "recipe": {"classes": ["cows"]}}, "recipe.classes: Expected each of .* at most once. Received"),
        ({**SYNTHETIC, "recipe": []}, r"expected recipe to be a group of parameters .*Received: \[\]"),
        ({key: value for key, value in SYNTHETIC.items() if key != "license"}, "'license' is missing"),
        ({**SYNTHETIC, "name": "../../evil"}, "expected name to be a text that matches"),
        ({**URL, "name": "a/b"}, "expected name to be a text that matches"),
        ({**URL, "url": "file:///etc/passwd"}, "expected url to be a text that matches"),
        ({**URL, "sha256": "abc"}, "expected sha256 to be a text that matches"),
        ({**URL, "sha256": None}, "Expected sha256 or bytes, so that the download can be checked. Received: neither"),
        ({**URL, "bytes": 0}, "expected bytes to be greater than or equal to 1"),
    ],
)
def test_broken_cards_are_told(values: Any, words: str, tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match=words) as caught:
        read_card(write_card(tmp_path, values))
    assert "card.yaml" in str(caught.value)
    assert "\n" not in str(caught.value)
