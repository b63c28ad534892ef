"""Stage `register`: one complete MLflow run of the training, a version of the registered model, and its verdict."""

import hashlib
import json
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from convlens.errors import ConvLensError
from convlens.params import RegisterParams, load_params, read_yaml
from convlens.photos.prepared import Prepared, open_prepared
from convlens.progress import say
from convlens.stages.outputs import write_json
from convlens.stages.register_decision import describe_difference, name_decision, read_decision
from convlens.tracking.failures import hide_passwords
from convlens.tracking.gate import all_passed, tell, to_plain
from convlens.tracking.git import git_tags
from convlens.tracking.models import ModelFiles
from convlens.tracking.record import DataFacts, Record
from convlens.tracking.registration import Candidate, Registration, register_training
from convlens.tracking.requirements import pinned_requirements
from convlens.tracking.values import evaluation_metrics, flatten_params

STAGE = "register"
TEST = "test"
CARD_TAGS = ("architecture", "device", "precision", "num_threads", "num_parameters", "best_epoch", "data_digest")


def register(
    *,
    prepared: Path,
    model_folder: Path,
    validation: Path,
    training: Path,
    evaluation: Path,
    invariance: Path,
    mistakes: Path,
    report: Path,
    feature_maps: Path,
    feature_maps_folder: Path,
    summary: Path,
    model_card: Path,
    profile: Path,
    decision: Path,
    params: Path,
    pipeline: Path,
    lock: Path,
    requirements: Path,
    registration: Path,
    register: RegisterParams,
) -> None:
    """Record everything about a training and decide whether its model becomes the champion; may be repeated.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        validation: folder of the data checks: result.json, quarantine.csv, data_docs/.
        training: folder with history.csv and perhaps timing.csv.
        evaluation: folder with metrics.json, predictions.csv and plots.
        invariance: folder with metrics.json, tables and plots about disturbed photos.
        mistakes: folder with metrics.json and the table of photos whose label may be wrong.
        report: page about data, training and evaluation.
        feature_maps: page of feature maps.
        feature_maps_folder: its pictures and tables.
        summary: short Markdown; becomes the run's description.
        model_card: the model card (Markdown); becomes the version's description, as much of it as fits.
        profile: what the photos of the training are like; goes with the model.
        decision: threshold and least probability, chosen on the validation photos; goes with the model (JSON).
        params: params.yaml; all of it is recorded.
        pipeline: dvc.yaml.
        lock: dvc.lock; may be missing outside of DVC.
        requirements: lock file of the packages; what the models need is pinned from it.
        registration: verdict to write (JSON): nothing in it changes from machine to machine but the champion's value.
        register: the group `register`.

    Raises:
        ConvLensError: a result is missing, or the store does not answer.
    """
    photos = open_prepared(prepared)
    card = _read_json(model_folder / "card.json")
    numbers = _read_json(evaluation / "metrics.json")
    everything = load_params(params)
    record = Record(
        key=card["key"],
        params=flatten_params(everything.model_dump(mode="json", by_alias=True)),
        epochs=_read_epochs(training, card["key"]),
        metrics={
            **evaluation_metrics(numbers),
            **evaluation_metrics(_read_json(invariance / "metrics.json"), section="invariance"),
            **evaluation_metrics(_read_json(mistakes / "metrics.json"), section="mistakes"),
        },
        tags={
            **git_tags(),
            **_tags(card),
            "convlens.dvc_lock": _digest_lock(lock),
            "convlens.data_checks": _describe_checks(_read_json(validation / "result.json")),
        },
        data=_data_facts(photos),
        description=summary.read_text(encoding="utf-8") if summary.is_file() else "",
        files={
            "report.html": report,
            "feature_maps.html": feature_maps,
            "summary.md": summary,
            "model_card.md": model_card,
            "feature_maps": feature_maps_folder,
            "evaluation": evaluation,
            "invariance": invariance,
            "mistakes": mistakes,
            "training": training,
            "validation": validation,
            "data/splits.csv": prepared / "splits.csv",
            "config/params.yaml": params,
            "config/dvc.yaml": pipeline,
            "config/requirements.txt": requirements,
        },
        lock=lock,
        lock_digest=_digest_lock(lock),
    )
    candidate = Candidate(
        name=register.model_name,
        min_accuracy=register.min_accuracy,
        accuracy=numbers["accuracy"],
        test=_test_verdicts(photos, evaluation / "predictions.csv"),
        load_images=lambda rows: photos.images(TEST)[np.asarray(rows)],
        compare=partial(describe_difference, everything.evaluate),
        card=model_card.read_text(encoding="utf-8") if model_card.is_file() else "",
    )
    with tempfile.TemporaryDirectory(prefix="convlens-") as folder:
        card_file = Path(folder) / "card.json"
        chosen = read_decision(decision, card["key"])
        write_json(card_file, {**card, **chosen})
        files = _model_files(model_folder, card, photos, pinned_requirements(requirements), profile=profile)
        files = replace(files, card=card_file, decision=name_decision(chosen))
        done = register_training(register.experiment, record, files, candidate)
    verdict = {"key": record.key, "model": register.model_name, "passed": all_passed(done.criteria)}
    write_json(registration, {**verdict, "criteria": to_plain(done.criteria)})
    _tell(done, register.model_name)


def _read_json(path: Path) -> dict[str, Any]:
    if not path.is_file():
        raise ConvLensError(f"Expected the result {path}. Received: nothing there. Run `dvc repro`.")
    try:
        values: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise ConvLensError(f"Expected JSON in {path}. Received: {error}. Run `dvc repro --force`.") from error
    return values


def _read_epochs(training: Path, key: str) -> list[tuple[int, dict[str, float]]]:
    """History, and speed where it is known of this very training, epoch by epoch."""
    history = training / "history.csv"
    if not history.is_file():
        raise ConvLensError(f"Expected the training's history {history}. Received: nothing there. Run `dvc repro`.")
    table = pd.read_csv(history)
    timing = training / "timing.csv"
    if timing.is_file():
        speed = pd.read_csv(timing)
        table = table.merge(speed[speed["key"] == key].drop(columns="key"), on="epoch", how="left")
    rows = table.to_dict(orient="records")
    return [(int(row["epoch"]), {str(name): value for name, value in row.items() if pd.notna(value)}) for row in rows]


def _describe_checks(result: Mapping[str, Any]) -> str:
    """For people: `1,198 of 1,200 photos usable, 14 of 14 checks passed`."""
    passed = [item["success"] for item in result["expectations"]]
    photos = f"{result['num_usable']:,} of {result['num_photos']:,} photos usable"
    return f"{photos}, {sum(passed)} of {len(passed)} checks passed"


def _tags(card: Mapping[str, Any]) -> dict[str, str]:
    return {f"convlens.{name}": str(card[name]) for name in CARD_TAGS if name in card}


def _data_facts(photos: Prepared) -> DataFacts:
    source = photos.card["source"]
    return DataFacts(Path(source).stem, source, photos.card["digest"], photos.splits)


def _digest_lock(lock: Path) -> str:
    """The sha256 of what dvc.lock says of the stages before this one; this one's entry is written after it ends."""
    if not lock.is_file():
        return ""
    stages = {name: entry for name, entry in read_yaml(lock).get("stages", {}).items() if name != STAGE}
    return hashlib.sha256(json.dumps(stages, sort_keys=True).encode()).hexdigest()


def _test_verdicts(photos: Prepared, predictions: Path) -> pd.DataFrame:
    """The test photos with what identifies them, this network's probabilities, and whether it answers them right."""
    if not predictions.is_file():
        raise ConvLensError(f"Expected the answers to the test photos in {predictions}. Received: nothing there.")
    answers = pd.read_csv(predictions, keep_default_na=False).drop(columns=["label", "predicted"])
    table = photos.photos(TEST)[["path", "label", "sha256", "row"]].merge(answers, on="path", how="left")
    if table["correct"].isna().any() or len(answers) != len(table):
        raise ConvLensError(
            f"Expected an answer for each of {len(table):,} test photos. Received: {len(answers):,} in {predictions}. "
            "Run `dvc repro`."
        )
    return table.astype({"correct": bool})


def _model_files(
    folder: Path, card: Mapping[str, Any], photos: Prepared, requirements: list[str], *, profile: Path
) -> ModelFiles:
    return ModelFiles(
        network=folder / "model.keras",
        card=folder / "card.json",
        classes=tuple(card["classes"]),
        image_size=card["image_size"],
        examples=photos.images(TEST)[:1],
        requirements=requirements,
        profile=profile,
    )


def _tell(done: Registration, model_name: str) -> None:
    say(f"register: run '{done.run_name}' ({done.run_id}) in {hide_passwords(done.uri)}")
    for criterion in done.criteria:
        say(f"register: {tell(criterion)}")
    aliases = " and ".join(f"'{alias}'" for alias in done.aliases)
    outcome = f"has the alias {aliases}" if aliases else "stays without alias"
    if not all_passed(done.criteria) and aliases:
        outcome = f"keeps the alias {aliases}"
    say(f"register: {model_name} version {done.version} {outcome}.")
