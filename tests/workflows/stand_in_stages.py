"""Stands in for the stages of dvc.yaml, so that a pipeline runs in moments: stand_in_stages.py STAGE --NAME PATH...

It writes what dvc.yaml says the stage writes. The answers to the hundred test photos follow from `evaluate.threshold`
as a good network's would: at 0.5 five of them are wrong, near 1 every photo is called a cat. The real stages run in
tests/pipeline.
"""

import json
import os
import sqlite3
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from pyarrow import parquet, table
from ruamel.yaml import YAML

NUM_PHOTOS = 100


def main(stage: str, *options: str) -> None:
    yaml = YAML(typ="safe")
    definition = yaml.load(Path("dvc.yaml"))["stages"][stage]
    for kind in ("outs", "metrics", "plots"):
        for entry in definition.get(kind, []):
            write_anything(Path(entry if isinstance(entry, str) else next(iter(entry))))
    paths = {name.removeprefix("--"): Path(path) for name, path in zip(options[::2], options[1::2], strict=True)}
    special = {"preprocess": write_photos, "train": write_network, "evaluate": write_answers, "register": write_run}
    if stage in special:
        special[stage](paths, yaml.load(Path("params.yaml")))


def write_anything(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".parquet":
        parquet.write_table(table({"path": []}), path)
    elif path.suffix:
        path.write_text("{}" if path.suffix == ".json" else "a stand-in\n")
    else:
        path.mkdir(exist_ok=True)
        (path / "index.html").write_text("a stand-in\n")


def write_photos(paths: dict[str, Path], _params: dict[str, Any]) -> None:
    lines = [f"{number}.png,{truth(number)},test,{number:064x}" for number in range(NUM_PHOTOS)]
    (paths["prepared"] / "splits.csv").write_text("\n".join(["path,label,split,sha256", *lines, ""]))
    card = {"classes": ["cats", "dogs"], "counts": {"test": {"cats": NUM_PHOTOS // 2, "dogs": NUM_PHOTOS // 2}}}
    (paths["prepared"] / "card.json").write_text(json.dumps(card))


def write_network(paths: dict[str, Path], _params: dict[str, Any]) -> None:
    (paths["model-folder"] / "card.json").write_text(json.dumps({"key": "k" * 64, "num_parameters": 7}))
    (paths["model-folder"] / "model.keras").write_text("a stand-in\n")
    paths["history"].write_text("epoch,train_loss,validation_loss\n1,0.7,0.7\n2,0.3,0.4\n")


def write_answers(paths: dict[str, Path], params: dict[str, Any]) -> None:
    threshold = params["evaluate"]["threshold"]
    lines, right = [], 0
    for number in range(NUM_PHOTOS):
        dogs = 0.9 if (truth(number) == "dogs") != (number % 20 == 0) else 0.1
        said = "dogs" if dogs >= threshold else "cats"
        right += said == truth(number)
        lines.append(f"{number}.png,{truth(number)},{said},{said == truth(number)},{1 - dogs:.1f},{dogs}")
    head = "path,label,predicted,correct,probability_cats,probability_dogs"
    paths["predictions"].write_text("\n".join([head, *lines, ""]))
    accuracy = right / NUM_PHOTOS
    ends = {"accuracy_low": accuracy - 0.04, "accuracy_high": min(1.0, accuracy + 0.04)}
    paths["metrics"].write_text(json.dumps({"num_photos": NUM_PHOTOS, "accuracy": accuracy, **ends, "log_loss": 0.3}))


def write_run(paths: dict[str, Path], _params: dict[str, Any]) -> None:
    """As little of an MLflow store as a run with an artifact needs."""
    chosen = os.environ.get("MLFLOW_TRACKING_URI")
    database = Path(chosen.removeprefix("sqlite:///")) if chosen else Path.cwd() / "mlflow.db"
    paths["registration"].write_text('{"verdict": "a stand-in"}')  # like no other file: DVC has it nowhere
    artifacts = database.parent / "mlartifacts/run/artifacts"
    artifacts.mkdir(parents=True)
    (artifacts / "report.html").write_bytes(paths["report"].read_bytes())
    with closing(sqlite3.connect(database)) as store:
        store.execute("CREATE TABLE runs (artifact_uri VARCHAR(200))")
        store.execute("INSERT INTO runs VALUES (?)", (artifacts.as_uri(),))
        store.commit()


def truth(number: int) -> str:
    return "cats" if number % 2 == 0 else "dogs"


if __name__ == "__main__":
    main(*sys.argv[1:])
