"""Stage `report`: the pages a person reads, and the facts about filters behind them."""

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pandas as pd
from PIL import Image

from convlens.errors import ConvLensError
from convlens.lens.lens import open_lens
from convlens.network.model_files import load_trained_model
from convlens.params import (
    AugmentParams,
    EvaluateParams,
    Group,
    ModelParams,
    PreprocessParams,
    ReportParams,
    TrainParams,
    ValidateParams,
)
from convlens.photos.prepared import Prepared, open_prepared
from convlens.progress import say
from convlens.report.overview import ReportInputs, photos_needed, render_report
from convlens.report.summary import render_summary
from convlens.stages.outputs import new_folder, read_parquet, write_bytes, write_csv, write_json, write_text
from convlens.stages.report_maps import MapResults, make_maps
from convlens.stages.report_photos import HeldOut, choose_test_photos, read_own

THUMBNAIL_QUALITY = 88


def report(
    *,
    manifest: Path,
    validation: Path,
    quarantine: Path,
    gallery: Path,
    leaks: Path,
    prepared: Path,
    model_folder: Path,
    history: Path,
    metrics: Path,
    predictions: Path,
    class_scores: Path,
    roc: Path,
    reliability: Path,
    own: Path,
    page: Path,
    feature_maps: Path,
    feature_maps_folder: Path,
    summary: Path,
    validate: ValidateParams,
    preprocess: PreprocessParams,
    model: ModelParams,
    augment: AugmentParams,
    train: TrainParams,
    evaluate: EvaluateParams,
    report: ReportParams,
) -> None:
    """Write both pages, the summary, and the folder of facts and pictures about feature maps.

    Args:
        manifest: table of all photos, from `validate`.
        validation: outcome of the expectations (JSON).
        quarantine: photos left out (CSV).
        gallery: small pictures of doubtful photos, from `validate`.
        leaks: groups of photos that look alike, from `preprocess` (JSON).
        prepared: folder of arrays per split.
        model_folder: folder of the trained network.
        history: numbers per epoch (CSV).
        metrics: numbers on the test split (JSON).
        predictions: one row per test photo (CSV).
        class_scores: one row per class (CSV).
        roc: points of the ROC curve (CSV).
        reliability: photos in bins of similar probability (CSV).
        own: folder with photos of the user; may be empty or missing.
        page: the overview to write (HTML).
        feature_maps: the feature-map page to write (HTML).
        feature_maps_folder: folder to write: filters.csv, maps_metrics.json, one PNG per convolution.
        summary: the summary to write (Markdown).
        validate: the group `validate`, shown on the overview, as are the next five.
        preprocess: the group `preprocess`.
        model: the group `model`.
        augment: the group `augment`.
        train: the group `train`.
        evaluate: the group `evaluate`.
        report: the group `report`.

    Raises:
        ConvLensError: an input is missing, or the opened model does not answer as the model does.
    """
    data = open_prepared(prepared)
    groups = {"validate": validate, "preprocess": preprocess, "model": model, "augment": augment, "train": train,
              "evaluate": evaluate}  # fmt: skip
    inputs = _gather(
        data,
        groups,
        tables={"manifest": pd.read_parquet(manifest), "quarantine": _read_csv(quarantine),
                "gallery": read_parquet(gallery),
                "history": _read_csv(history), "predictions": _read_csv(predictions),
                "class_scores": _read_csv(class_scores), "roc": _read_csv(roc), "reliability": _read_csv(reliability)},
        cards={"validation_result": _read_json(validation), "duplicates": _read_json(leaks),
               "metrics": _read_json(metrics),
               "model_card": _read_json(model_folder / "card.json")},
    )  # fmt: skip
    overview = render_report(inputs)
    words = render_summary(
        inputs.metrics,
        inputs.model_card,
        inputs.prepared_card,
        inputs.validation_result,
        predictions=inputs.predictions,
    )
    maps = _look(data, model_folder, own, predictions=inputs.predictions, params=report)

    _write_maps(feature_maps_folder, maps)
    write_text(feature_maps, maps.page)
    write_text(page, overview)
    write_text(summary, words)
    _tell(maps)


def _gather(
    data: Prepared, groups: Mapping[str, Group], *, tables: Mapping[str, Any], cards: Mapping[str, Any]
) -> ReportInputs:
    needed = photos_needed(tables["predictions"], tables["manifest"], cards["duplicates"])
    return ReportInputs(
        **tables,
        **cards,
        prepared_card=data.card,
        splits=data.splits,
        params={name: group.model_dump(mode="json") for name, group in groups.items()},
        thumbnails=_thumbnails(data, needed),
    )


def _look(
    data: Prepared, model_folder: Path, own: Path, *, predictions: pd.DataFrame, params: ReportParams
) -> MapResults:
    """Open the network and show it the chosen photos."""
    owned, unreadable = read_own(own, data.loader, data.classes)
    for photo in unreadable:
        say(f"report: your photo {photo.name} is left out. {photo.reason}")
    return make_maps(
        open_lens(load_trained_model(model_folder)),
        [*owned, *choose_test_photos(predictions, data, params)],
        HeldOut(data),
        classes=data.classes,
        max_filters=params.max_filters,
        mirror=_read_json(model_folder / "card.json")["mirror"],
        unreadable=unreadable,
    )


def _write_maps(folder: Path, maps: MapResults) -> None:
    with new_folder(folder) as temporary:
        write_csv(temporary / "filters.csv", maps.filters)
        write_json(temporary / "maps_metrics.json", maps.metrics)
        for name, content in maps.pictures.items():
            write_bytes(temporary / name, content)


def _thumbnails(data: Prepared, paths: list[str]) -> dict[str, bytes]:
    """JPEG bytes of photos as the network gets them, by path; photos outside the splits are left out."""
    places = data.splits.set_index("path")[["split", "row"]]
    found = places.loc[[path for path in paths if path in places.index]]
    images = {split: data.images(split) for split in found["split"].unique()}
    return {str(row.Index): _jpeg(images[str(row.split)][int(str(row.row))]) for row in found.itertuples()}


def _jpeg(pixels: Any) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=THUMBNAIL_QUALITY)
    return buffer.getvalue()


def _read_csv(path: Path) -> pd.DataFrame:
    _require(path)
    texts = dict.fromkeys(("path", "label", "predicted", "class"), str)  # a class may be called 001
    return pd.read_csv(path, keep_default_na=False, na_values={}, dtype=texts)


def _read_json(path: Path) -> Any:
    _require(path)
    return json.loads(path.read_text(encoding="utf-8"))


def _require(path: Path) -> None:
    if not path.is_file():
        raise ConvLensError(f"Expected {path}. Received: nothing there. Run `dvc repro`.")


def _tell(maps: MapResults) -> None:
    found = maps.metrics
    say(
        f"report: {maps.num_photos} photos; {found['num_filters']:,} filters, {found['num_dead_filters']} dead, "
        f"{found['num_rare_filters']} fire on fewer than 1 % of photos."
    )
    if maps.left_out:
        say(f"report: left out of the feature-map page to keep it below 15 MB: {', '.join(maps.left_out)}")
