"""How many wrong labels the default run finds is what docs/photos.md says, where that run is at hand."""

import hashlib
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).parents[2]
FOUND = "reports/label_errors/photos.csv"
FAULTS = "data/raw/faults.csv"


def is_of_the_lock(path: str) -> bool:
    lock = YAML(typ="safe").load((ROOT / "dvc.lock").read_text(encoding="utf-8"))
    outputs = {output["path"]: output["md5"] for output in lock["stages"]["label_errors"]["outs"]}
    file = ROOT / path
    return file.is_file() and outputs[path] == hashlib.md5(file.read_bytes(), usedforsecurity=False).hexdigest()


def tell(photos: pd.DataFrame, faults: pd.DataFrame) -> str:
    """Recall and precision of the suspicion, for the photos that were judged."""
    wrong = {f"data/raw/{path}" for path in faults.loc[faults["fault"] == "wrong_labels", "path"]}
    planted, suspicious = photos["path"].isin(wrong), photos["suspicious"]
    num_judged, num_suspicious, found = (int(which.sum()) for which in (planted, suspicious, planted & suspicious))
    return (
        f"In the default run {num_judged} of the {len(wrong)} wrong labels are among the held-out photos, which "
        f"`label_errors` judges; it suspects {num_suspicious} photos, {found} of these {num_judged} among them."
    )


def test_the_telling_counts() -> None:
    photos = pd.DataFrame({"path": [f"data/raw/{name}" for name in "abcd"], "suspicious": [True, True, False, False]})
    faults = pd.DataFrame({"path": ["a", "c", "z", "b"], "fault": ["wrong_labels"] * 3 + ["dark"]})
    assert tell(photos, faults) == (
        "In the default run 2 of the 3 wrong labels are among the held-out photos, which `label_errors` judges; "
        "it suspects 2 photos, 1 of these 2 among them."
    )


def test_the_document_says_how_many_wrong_labels_are_found() -> None:
    if not (ROOT / FAULTS).is_file() or not is_of_the_lock(FOUND):
        pytest.skip("The default run, as dvc.lock has it, is not here; `make repro` makes it.")
    said = " ".join((ROOT / "docs/photos.md").read_text(encoding="utf-8").split())
    assert tell(pd.read_csv(ROOT / FOUND), pd.read_csv(ROOT / FAULTS)) in said
