from pathlib import Path

import pytest
from mlflow import MlflowClient
from PIL import Image
from small_training import use_own_store

from convlens.tracking.record import Picture, stage_pictures


@pytest.fixture
def picture(tmp_path: Path) -> Picture:
    path = tmp_path / "plot.png"
    Image.new("RGBA", (600, 300), "teal").save(path)
    return Picture("feature_maps/cat #1+2.jpg", 3, path)


def test_names_are_those_of_mlflow(picture: Picture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """MLflow's own `log_image` names its files so; its page takes them apart again."""
    use_own_store(tmp_path, monkeypatch)
    client = MlflowClient(f"sqlite:///{tmp_path}/mlflow.db")
    experiment = client.create_experiment("trials", (tmp_path / "files").as_uri())
    run = client.create_run(experiment)
    key = "feature_maps/cat _1_2.jpg"
    with Image.open(picture.path) as image:
        client.log_image(run.info.run_id, image, key=key, step=3, timestamp=77)
    stage_pictures([picture], tmp_path / "own", 77)
    theirs = next((tmp_path / "files").glob("*/artifacts/images"))
    assert _parts(tmp_path / "own/images") == _parts(theirs)
    assert client.get_run(run.info.run_id).data.tags["mlflow.loggedImages"] == "True"


def _parts(folder: Path) -> list[tuple[list[str], str, int]]:
    """Parts of the names without the random one, suffixes, and the longer side in pixels."""
    return [_describe(path) for path in sorted(folder.iterdir())]


def _describe(path: Path) -> tuple[list[str], str, int]:
    with Image.open(path) as image:
        side = max(image.size)
    return [part for part in path.with_suffix("").name.split("+") if len(part) != 36], path.suffix, side


def test_staging_again_gives_the_same_files(picture: Picture, tmp_path: Path) -> None:
    for _ in range(2):
        stage_pictures([picture, Picture(picture.series, 4, picture.path)], tmp_path / "own", 77)
    files = sorted(path.name for path in (tmp_path / "own/images").iterdir())
    assert len(files) == 4
    assert len({name.split("+")[5].removesuffix(".png") for name in files}) == 2
