"""Stage `register`: one complete MLflow run of the training, a version of the registered model, and its verdict."""

from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.environment import hide_passwords
from convlens.files import write_json
from convlens.models.inference import OperatingPoint
from convlens.params import RegisterParams, load_params
from convlens.progress import say
from convlens.tracking.champion_comparison import gather_candidate, name_operating_point
from convlens.tracking.environment import pinned_requirements
from convlens.tracking.gate import all_passed, tell_outcome, text_table
from convlens.tracking.models import ModelFiles
from convlens.tracking.promotion import Registration, register_training
from convlens.tracking.record import Results, gather_record, read_json

TEST = "test"


def register(
    *,
    prepared: Path,
    model_folder: Path,
    validation: Path,
    training: Path,
    evaluation: Path,
    robustness: Path,
    label_errors: Path,
    report: Path,
    feature_maps: Path,
    feature_maps_folder: Path,
    summary: Path,
    model_card: Path,
    operating_point: Path,
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
        robustness: folder with metrics.json, tables and plots of perturbed photos.
        label_errors: folder with metrics.json and the table of photos whose label may be wrong.
        report: page about data, training and evaluation.
        feature_maps: page of feature maps.
        feature_maps_folder: its pictures and tables.
        summary: short Markdown; becomes the run's description.
        model_card: the model card (Markdown); becomes the version's description, as much of it as fits.
        operating_point: folder of the operating point and the reference statistics; both go with the model.
        params: params.yaml; all of it is recorded.
        pipeline: dvc.yaml.
        lock: dvc.lock; may be missing outside of DVC.
        requirements: lock file of the packages; what the models need is pinned from it.
        registration: verdict to write (JSON): each criterion, its value, what is demanded, and whether it is met. DVC
            locks it, so it names no version, run, time or user; what changes from store to store is the champion.
        register: the group `register`.

    Raises:
        ConvLensError: a result is missing, or the store does not answer.
    """
    photos = Prepared.load(prepared)
    card = read_json(model_folder / "card.json")
    everything = load_params(params)
    results = Results(
        prepared=prepared,
        validation=validation,
        training=training,
        evaluation=evaluation,
        robustness=robustness,
        label_errors=label_errors,
        report=report,
        feature_maps=feature_maps,
        feature_maps_folder=feature_maps_folder,
        summary=summary,
        model_card=model_card,
        params=params,
        pipeline=pipeline,
        lock=lock,
        requirements=requirements,
    )
    record = gather_record(results, photos, card)
    candidate = gather_candidate(results, photos, register=register, evaluate=everything.evaluate)
    point = OperatingPoint.load(operating_point, key=card["key"])
    files = ModelFiles(
        network=model_folder / "model.keras",
        card=model_folder / "card.json",
        operating_point=operating_point,
        classes=tuple(card["classes"]),
        image_size=card["image_size"],
        examples=photos.images(TEST)[:1],
        requirements=pinned_requirements(requirements),
        decision=name_operating_point(point),
    )
    done = register_training(register.experiment, record, files, candidate)
    write_json(registration, done.verdict)
    _tell(done, register.model_name)


def _tell(done: Registration, model_name: str) -> None:
    say(f"register: run '{done.run_name}' ({done.run_id}) in {hide_passwords(done.uri)}")
    for line in [*text_table(done.criteria), tell_outcome(done.criteria)]:
        say(f"register: {line}")
    aliases = " and ".join(f"'{alias}'" for alias in done.aliases)
    outcome = f"has the alias {aliases}" if aliases else "has no alias"
    if not all_passed(done.criteria) and aliases:
        outcome = f"keeps the alias {aliases}"
    say(f"register: {model_name} version {done.version} {outcome}.")
