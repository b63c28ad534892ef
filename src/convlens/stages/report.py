"""Stage `report`: the pages a person reads, and the facts about filters behind them."""

from dataclasses import replace
from pathlib import Path

from convlens.data.prepared import Prepared
from convlens.data.validation import Validation
from convlens.files import write_bytes, write_text
from convlens.lens.lens import open_lens
from convlens.metrics.evaluation import Evaluation
from convlens.metrics.label_errors import LabelErrors
from convlens.metrics.robustness import Robustness
from convlens.models.files import TrainingRun
from convlens.models.inference import OperatingPoint
from convlens.pages.feature_maps.maps import PageSettings, add_regions, gather_sample, make_feature_maps
from convlens.pages.feature_maps.over_time import SavedWeights
from convlens.pages.model_card import render_model_card, render_summary
from convlens.pages.photos import choose_test_photos, find_regions, make_thumbnails, shorten_path
from convlens.pages.report import ReportInputs, photos_needed, render_report
from convlens.params import Params
from convlens.plots.style import to_png
from convlens.plots.training import plot_speed, plot_training_curves
from convlens.progress import say


def report(
    *,
    manifest: Path,
    prepared: Path,
    model_folder: Path,
    operating_point: Path,
    reports: Path,
    params: Params,
) -> None:
    """Write report, feature maps, summary and model card.

    Args:
        manifest: folder of facts about all photos, from `validate`.
        prepared: folder of the photos as the network gets them.
        model_folder: folder of the trained network.
        operating_point: folder of the operating point and the reference statistics, from `evaluate`.
        reports: folder in which the stages before wrote validation/, training/, evaluation/, robustness/ and
            label_errors/; gets report.html, feature_maps.html and feature_maps/, summary.md, model_card.md,
            training/curves.png and training/speed.png.
        params: what the pages tell of the settings, and how much they show.

    Raises:
        ConvLensError: an input is missing, or the opened model does not predict as the model does.
    """
    data = Prepared.load(prepared)
    training = TrainingRun.load(model_folder, reports / "training")
    point = OperatingPoint.load(operating_point, key=training.card["key"])
    evaluation = Evaluation.load(reports / "evaluation")
    inputs = ReportInputs(
        params=params,
        validation=Validation.load(manifest, reports / "validation"),
        prepared=data,
        training=training,
        evaluation=evaluation,
        point=point,
        robustness=Robustness.load(reports / "robustness"),
        label_errors=LabelErrors.load(reports / "label_errors"),
    )

    lens = open_lens(training.network)
    regions = find_regions(inputs.validation.manifest, data.loader)
    photos = add_regions(list(choose_test_photos(evaluation.predictions, data, params.report)), regions)
    settings = PageSettings(
        classes=data.classes,
        max_filters=params.report.max_filters,
        point=point,
        weights=SavedWeights(training.snapshots, int(training.card["best_epoch"])),
    )
    source = str(data.card.get("source", ""))
    named = [replace(photo, name=shorten_path(photo.name, source)) for photo in photos]
    maps = make_feature_maps(lens, named, gather_sample(data, regions, picture_shape=lens.picture_shape), settings)
    shown = {photo.name: number for number, photo in enumerate(photos[: maps.num_photos])}
    inputs = replace(inputs, shown_photos=shown, thumbnails=make_thumbnails(data, photos_needed(inputs)))
    texts = {
        "report.html": render_report(inputs),
        "feature_maps.html": maps.page,
        "summary.md": render_summary(inputs),
        "model_card.md": render_model_card(inputs),
    }

    maps.save(reports / "feature_maps")
    for name, text in texts.items():
        write_text(reports / name, text)
    write_bytes(reports / "training/curves.png", to_png(plot_training_curves(training.history)))
    if training.timing.empty:  # trained elsewhere
        (reports / "training/speed.png").unlink(missing_ok=True)
    else:
        write_bytes(reports / "training/speed.png", to_png(plot_speed(training.timing)))
    say(
        f"report: {maps.num_photos} photos; {maps.metrics['num_filters']:,} filters, "
        f"{maps.metrics['num_dead_filters']} dead, {maps.metrics['num_rare_filters']} fire on fewer than 1 % of photos."
    )
    if maps.left_out:
        say(f"report: left out of the feature-map page to keep it below 15 MB: {', '.join(maps.left_out)}")
