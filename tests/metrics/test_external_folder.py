import unicodedata
from pathlib import Path

import pytest

from convlens.cli.evaluate import check_target
from convlens.errors import ConvLensError
from convlens.metrics.external import find_photos, parse_renamed

CLASSES = ("cats", "dogs")


def put(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"photo")
    return folder


def found(folder: Path, *pairs: str, unlabeled: bool = False) -> list[tuple[str, str]]:
    photos = find_photos(folder, CLASSES, renamed=parse_renamed(pairs), unlabeled=unlabeled)
    assert [photo.path.read_bytes() for photo in photos] == [b"photo"] * len(photos)
    return [(photo.name, photo.label) for photo in photos]


def test_class_folders_are_labels(tmp_path: Path) -> None:
    put(tmp_path, "dogs/b.jpg", "cats/a.png", "cats/deeper/c.webp", "dogs/notes.txt", "dogs/.DS_Store", "README",
        "regions.csv", "__MACOSX/cats/a.png", ".hidden/x.jpg")  # fmt: skip
    assert found(tmp_path) == [("cats/a.png", "cats"), ("cats/deeper/c.webp", "cats"), ("dogs/b.jpg", "dogs")]


def test_other_names_can_be_mapped(tmp_path: Path) -> None:
    put(tmp_path, "Kätzchen süß/a.jpg", "dogs/b.jpg", "rabbits/c.jpg")
    expected = [("Kätzchen süß/a.jpg", "cats"), ("dogs/b.jpg", "dogs")]
    assert found(tmp_path, "Kätzchen süß=cats", "rabbits=") == expected


def test_letters_and_accents_taken_apart_are_the_same_name(tmp_path: Path) -> None:
    folder = put(tmp_path, f"{unicodedata.normalize('NFD', 'süß')}/a.jpg")
    photos = find_photos(folder, (unicodedata.normalize("NFC", "süß"), "dogs"), renamed={})
    assert [photo.label for photo in photos] == [unicodedata.normalize("NFC", "süß")]


def test_classes_that_look_the_same_are_refused(tmp_path: Path) -> None:
    """Else all photos would be one of them."""
    names = tuple(unicodedata.normalize(form, "süß") for form in ("NFC", "NFD"))
    with pytest.raises(ConvLensError, match=r"^Expected a model whose classes differ in more than the Unicode form"):
        find_photos(put(tmp_path, f"{names[0]}/a.jpg"), names, renamed={})


def test_what_systems_and_annotators_leave_is_passed_over_as_the_pipeline_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    put(tmp_path, "cats/a.jpg", "cats/a.xml", "dogs/b.jpg", "dogs/@eaDir/b.jpg/THUMB.jpg", "#recycle/cats/old.jpg")
    assert found(tmp_path) == [("cats/a.jpg", "cats"), ("dogs/b.jpg", "dogs")]
    assert capsys.readouterr().err == "evaluate: passed over beside the photos: 1 .xml.\n"


def test_photos_without_folders_have_no_labels(tmp_path: Path) -> None:
    put(tmp_path, "b.jpg", "a b.jpg")
    assert found(tmp_path) == [("a b.jpg", ""), ("b.jpg", "")]


def test_folders_may_mean_nothing(tmp_path: Path) -> None:
    put(tmp_path, "2025/a.jpg", "b.jpg")
    assert found(tmp_path, unlabeled=True) == [("2025/a.jpg", ""), ("b.jpg", "")]


def test_one_class_is_enough(tmp_path: Path) -> None:
    assert found(put(tmp_path, "dogs/a.jpg")) == [("dogs/a.jpg", "dogs")]


@pytest.mark.parametrize(
    ("names", "pairs", "message"),
    [
        ((), (), "Expected photos in .*. Received: none"),
        (("notes.txt",), (), "Expected photos in .*. Received: none"),
        (("Cats/a.jpg", "dogs/b.jpg"), (), "Received: 'Cats'. Say what they are: --map Cats=cats "),
        (("my cats/a.jpg",), (), '--map "my cats=CLASS"'),
        (("cats/a.jpg", "b.jpg"), (), "Received: both, b.jpg for one lies beside"),
        (("cats/a.jpg",), ("kitten=cats",), "folders 'cats' and classes 'cats', 'dogs'. Received: 'kitten'"),
        (("kitten/a.jpg",), ("kitten=tigers",), "Received: 'tigers'"),
        (("cats/a.jpg",), ("cats=",), "--map leaves out all of its folders"),
        (("a.jpg",), ("kitten=cats",), "Expected class folders in .* for --map"),
        (("cats/a.jpg",), ("kitten",), "Expected --map FOLDER=CLASS, each folder once. Received: --map kitten"),
        (("cats/a.jpg",), ("a=cats", "a=dogs"), "each folder once. Received: --map a=dogs"),
    ],
)
def test_what_cannot_be_understood_is_told(
    tmp_path: Path, names: tuple[str, ...], pairs: tuple[str, ...], message: str
) -> None:
    with pytest.raises(ConvLensError, match=message):
        found(put(tmp_path, *names), *pairs)


def test_no_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match="which is no folder"):
        found(tmp_path / "lost")


def test_out_takes_a_new_or_empty_folder(tmp_path: Path) -> None:
    check_target(tmp_path / "new", force=False)
    check_target(tmp_path, force=False)


@pytest.mark.parametrize(
    ("names", "force", "message"),
    [
        (("report.html", "metrics.json"), False, "say --force"),
        (("report.html", "thesis.txt"), True, "which is in use. Name another one.$"),
    ],
)
def test_out_refuses_what_is_in_use(tmp_path: Path, names: tuple[str, ...], force: bool, message: str) -> None:
    with pytest.raises(ConvLensError, match=message):
        check_target(put(tmp_path, *names), force=force)


def test_out_replaces_its_own_folder_when_told_to(tmp_path: Path) -> None:
    check_target(put(tmp_path, "report.html", "metrics.json", "predictions.csv", "drift.csv"), force=True)


def test_out_refuses_a_file(tmp_path: Path) -> None:
    with pytest.raises(ConvLensError, match="new or empty folder"):
        check_target(put(tmp_path, "file") / "file", force=True)
