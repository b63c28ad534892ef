"""Stage `register`: one complete MLflow run of the training, a version of the registered model, and its verdict."""

from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.environment import hide_passwords
from convlens.files import write_json
from convlens.metrics.drift import REFERENCE
from convlens.models.files import CARD, FILE, TrainingRun
from convlens.models.inference import OPERATING_POINT, OperatingPoint
from convlens.params import Params, name_source
from convlens.progress import say
from convlens.tracking.environment import pinned_requirements
from convlens.tracking.gate import format_outcome, format_table
from convlens.tracking.models import ModelFiles, name_package
from convlens.tracking.promotion import Registration, gather_candidate, register_training
from convlens.tracking.record import gather_record
from convlens.tracking.registry import CHAMPION

TEST = "test"


def register(
    *,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    reports: Path,
    project: Path,
    registration: Path,
    params: Params,
) -> None:
    """Record everything about a training and decide whether its model becomes the champion; may be repeated.

    Args:
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        operating_point: folder of the operating point and the reference statistics; both go with the model.
        reports: folder of everything that people read: validation, training, evaluation, robustness, label errors,
            pages, summary and model card.
        project: folder of params.yaml, dvc.yaml, dvc.lock (may be missing outside of DVC) and requirements.txt, from
            which the packages that the models need are pinned.
        registration: verdict to write (JSON): each criterion, its value, what is demanded, and whether it is met. DVC
            locks it, so it names no version, run, time or user; what changes from store to store is the champion.
        params: all parameters; all are recorded.

    Raises:
        ConvLensError: a result is missing, or the store does not answer.
    """
    photos, training = Prepared.load(prepared), TrainingRun.load(model_folder, reports / "training")
    record = gather_record(photos, training, reports=reports, project=project, params=params)
    candidate = gather_candidate(photos, reports, params)
    files = ModelFiles(
        network=model_folder / FILE,
        packed=(model_folder / CARD, operating_point / OPERATING_POINT, operating_point / REFERENCE),
        classes=tuple(training.card["classes"]),
        image_size=training.card["image_size"],
        examples=photos.images(TEST)[:1],
        requirements=pinned_requirements(project / "requirements.txt"),
        package=name_package(OperatingPoint.load(operating_point, key=training.card["key"])),
        source=name_source(params.data.source),
    )
    done = register_training(params.register_.experiment, record, files, candidate)
    write_json(registration, done.verdict)

    say(f"register: run '{done.run_name}' ({done.run_id}) in {hide_passwords(done.uri)}")
    for line in [*format_table(done.criteria), format_outcome(done.criteria)]:
        say(f"register: {line}")
    for line in _say_which_is_used(candidate.name, done):
        say(f"register: {line}")


def _say_which_is_used(name: str, done: Registration) -> list[str]:
    """Say which model `convlens predict` uses now, and how to use this one."""
    names = " and ".join(f"'{alias}'" for alias in done.aliases)
    aliases = f"the alias {names}" if names else "no alias"
    if CHAMPION in done.aliases:
        return [f"{name} version {done.version} has {aliases}. Use it: convlens predict PHOTO"]
    used = f"`convlens predict` uses {done.champion}." if done.champion else f"{name} has no champion yet."
    address = f"models:/{name}@{done.aliases[0]}" if done.aliases else f"models:/{name}/{done.version}"
    return [
        f"{name} version {done.version} {'keeps' if names else 'has'} {aliases}. {used}",
        f"To use this one all the same: convlens predict --model {address} PHOTO",
    ]
