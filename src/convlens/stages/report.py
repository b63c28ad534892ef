"""Stage `report`: the pages a person reads, and the facts about filters behind them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from convlens.data.prepared import Prepared
from convlens.data.validation import Validation
from convlens.files import new_folder, read_csv, write_bytes, write_csv, write_json, write_text
from convlens.lens.lens import open_lens
from convlens.metrics.drift import ReferenceStatistics
from convlens.metrics.evaluation import Evaluation
from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import Robustness
from convlens.models.files import load_card, load_snapshots, load_trained_model
from convlens.models.inference import OperatingPoint, predict_probabilities
from convlens.pages.feature_maps.maps import FeatureMaps, PageSettings, add_regions, gather_sample, make_feature_maps
from convlens.pages.feature_maps.over_time import SavedWeights
from convlens.pages.model_card import gather_card, render_model_card, render_summary
from convlens.pages.photos import (
    Choice,
    Unreadable,
    choose_test_photos,
    find_regions,
    find_user_regions,
    make_thumbnails,
    read_user_photos,
)
from convlens.pages.report import ReportInputs, photos_needed, render_report
from convlens.pages.user_photos import OwnPhotos, answer_own
from convlens.params import (
    AugmentParams,
    EvaluateParams,
    Group,
    InferenceParams,
    ModelParams,
    PreprocessParams,
    ReportParams,
    TrainParams,
    ValidateParams,
)
from convlens.plots.style import to_png
from convlens.plots.training import plot_speed, plot_training_curves
from convlens.progress import say

TEXT = ("path", "label", "predicted", "class", "feature", "slice", "cause", "reason", "split")


def report(
    *,
    manifest: Path,
    validation: Path,
    prepared: Path,
    model_folder: Path,
    training: Path,
    evaluation: Path,
    operating_point: Path,
    robustness: Path,
    label_errors: Path,
    own: Path,
    page: Path,
    feature_maps: Path,
    feature_maps_folder: Path,
    summary: Path,
    model_card: Path,
    own_answers: Path,
    validate: ValidateParams,
    preprocess: PreprocessParams,
    model: ModelParams,
    augment: AugmentParams,
    train: TrainParams,
    inference: InferenceParams,
    evaluate: EvaluateParams,
    report: ReportParams,
) -> None:
    """Write both pages, the summary, and the folder of facts and pictures about feature maps.

    Args:
        manifest: folder with facts about all photos and small pictures of doubtful ones, from `validate`.
        validation: folder with the outcome of the expectations and what is left out, from `validate`.
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        training: folder with history.csv and timing.csv; curves.png and speed.png are drawn into it.
        evaluation: folder of metrics, predictions and curves, from `evaluate`.
        operating_point: folder of the operating point and the reference statistics, from `evaluate`.
        robustness: folder of accuracy and consistency on perturbed photos, from `robustness`.
        label_errors: folder of photos by how well their label fits, from `label_errors`.
        own: folder with photos of the user; may be empty or missing.
        page: the overview to write (HTML).
        feature_maps: the feature-map page to write (HTML).
        feature_maps_folder: folder to write: tables (CSV), maps_metrics.json, and a folder of PNGs per photo, one
            per convolution.
        summary: the summary to write (Markdown).
        model_card: the model card to write (Markdown).
        own_answers: table to write: what the network says of the user's photos, and whether to believe it (CSV).
        validate: the group `validate`, shown on the overview, as are the next six.
        preprocess: the group `preprocess`.
        model: the group `model`.
        augment: the group `augment`.
        train: the group `train`.
        inference: the group `inference`.
        evaluate: the group `evaluate`.
        report: the group `report`.

    Raises:
        ConvLensError: an input is missing, or the opened model does not answer as the model does.
    """
    data = Prepared.load(prepared)
    checked = Validation.load(manifest, validation)
    robust = Robustness.load(robustness)
    groups = {"validate": validate, "preprocess": preprocess, "model": model, "augment": augment, "train": train,
              "inference": inference, "evaluate": evaluate}  # fmt: skip
    network, card = load_trained_model(model_folder), load_card(model_folder)
    point = OperatingPoint.load(operating_point, key=card["key"])
    owned, unreadable = _read_own(own, data)
    evaluated = Evaluation.load(evaluation)
    answered = answer_own(
        owned,
        unreadable,
        model=network,
        answer=partial(predict_probabilities, network, point=point),
        reference=ReferenceStatistics.load(operating_point),
        reliability=evaluated.reliability_bins(),
    )
    inputs = _gather(
        data,
        groups,
        tables={"manifest": checked.manifest, "quarantine": checked.quarantine, "gallery": checked.gallery,
                "history": read_csv(training / "history.csv"), "predictions": evaluated.predictions,
                "class_scores": evaluated.class_scores, "roc": evaluated.roc,
                "reliability": evaluated.reliability_bins(),
                "reliability_before": evaluated.reliability_bins("before"),
                "precision_recall": evaluated.precision_recall, "thresholds": evaluated.thresholds,
                "risk_coverage": evaluated.risk_coverage, "slices": evaluated.slices,
                "curves": robust.curves, "places": robust.places, "doubts": LabelErrors.load(label_errors).photos},
        cards={"validation_result": checked.result, "duplicates": data.duplicates,
               "metrics": evaluated.metrics, "operating_point": point,
               "robustness": robust.metrics,
               "model_card": card},
        own=answered,
    )  # fmt: skip
    words = render_summary(
        inputs.metrics,
        inputs.model_card,
        inputs.prepared_card,
        inputs.validation_result,
        predictions=inputs.predictions,
    )
    lens = open_lens(network)
    regions = find_regions(inputs.manifest, data.loader)
    choices = add_regions(
        [*owned, *choose_test_photos(inputs.predictions, data, report)],
        regions | find_user_regions(own, data.loader),
    )
    settings = PageSettings(
        classes=data.classes,
        max_filters=report.max_filters,
        point=point,
        unreadable=unreadable,
        weights=SavedWeights(load_snapshots(model_folder), int(card.get("best_epoch", 0))),
    )
    sample = gather_sample(data, regions, picture_shape=lens.picture_shape)
    maps = make_feature_maps(lens, choices, sample, settings)

    overview = render_report(replace(inputs, shown_photos=_number_photos(choices[: maps.num_photos])))

    write_bytes(training / "curves.png", to_png(plot_training_curves(inputs.history)))
    if (training / "timing.csv").is_file():  # not where the training came out of DVC's cache
        write_bytes(training / "speed.png", to_png(plot_speed(read_csv(training / "timing.csv"))))
    _write_maps(feature_maps_folder, maps)
    write_text(feature_maps, maps.page)
    write_text(page, overview)
    write_text(summary, words)
    write_text(model_card, render_model_card(gather_card(inputs, model_folder)))
    write_csv(own_answers, answered.table)
    _tell(maps)


def _gather(
    data: Prepared,
    groups: Mapping[str, Group],
    *,
    tables: Mapping[str, Any],
    cards: Mapping[str, Any],
    own: OwnPhotos,
) -> ReportInputs:
    needed = photos_needed(tables["predictions"], tables["manifest"], cards["duplicates"], tables["doubts"])
    return ReportInputs(
        **tables,
        **cards,
        prepared_card=data.card,
        splits=data.splits,
        params={name: group.model_dump(mode="json") for name, group in groups.items()},
        thumbnails=make_thumbnails(data, needed),
        own=own.table,
        own_pictures=own.pictures,
    )


def _read_own(own: Path, data: Prepared) -> tuple[list[Choice], list[Unreadable]]:
    owned, unreadable = read_user_photos(own, data.loader, data.classes)
    for photo in unreadable:
        say(f"report: your photo {photo.name} is left out. {photo.reason}")
    return owned, unreadable


def _number_photos(choices: Sequence[Choice]) -> dict[str, int]:
    """The number of each test photo on the feature-map page, by path."""
    return {choice.name: number for number, choice in enumerate(choices) if choice.group != "user"}


def _write_maps(folder: Path, maps: FeatureMaps) -> None:
    with new_folder(folder) as temporary:
        for name, table in maps.tables.items():
            write_csv(temporary / name, table)
        write_json(temporary / "maps_metrics.json", maps.metrics)
        for name, content in maps.pictures.items():
            write_bytes(temporary / name, content)


def _tell(maps: FeatureMaps) -> None:
    found = maps.metrics
    say(
        f"report: {maps.num_photos} photos; {found['num_filters']:,} filters, {found['num_dead_filters']} dead, "
        f"{found['num_rare_filters']} fire on fewer than 1 % of photos."
    )
    if maps.left_out:
        say(f"report: left out of the feature-map page to keep it below 15 MB: {', '.join(maps.left_out)}")
