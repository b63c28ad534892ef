"""The model card and the summary."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pandas as pd

from convlens.models.files import FILE
from convlens.pages.engine import escape_markdown, markdown_table
from convlens.pages.engine import escape_markdown as _escape
from convlens.pages.engine import markdown_table as _table
from convlens.pages.report import ReportInputs
from convlens.pages.report_data import SPLITS, describe_verdict
from convlens.pages.report_evaluation import SHARES as SHARES_SUMMARY
from convlens.pages.report_evaluation import count_answers, name_task
from convlens.params import load_params, read_yaml
from convlens.wording import interval_of, join_words, show_count, show_number, show_share

# --- The short Markdown summary for pull requests and for the description in MLflow ---

HEADLINES = {
    "accuracy": "Accuracy",
    "balanced_accuracy": "Balanced accuracy",
    "macro_f1": "Macro F1",
    "roc_auc": "ROC AUC",
    "average_precision": "Average precision",
    "log_loss": "Log loss",
    "brier": "Brier score",
}
PAGES = {
    "report.html": "Data, training, evaluation",
    "feature_maps.html": "What the network sees",
    "validation/data_docs/index.html": "Data Docs",
    "evaluation/predictions.csv": "Every answer",
}
MAX_CLASSES = 12


def render_summary(
    metrics: Mapping[str, Any],
    model_card: Mapping[str, Any],
    prepared_card: Mapping[str, Any],
    validation_result: Mapping[str, Any],
    *,
    predictions: pd.DataFrame | None = None,
) -> str:
    """Headline numbers, confusion matrix, photo counts, verdict of the data checks and links, as Markdown.

    Args:
        metrics: `reports/evaluation/metrics.json`.
        model_card: `data/model/card.json`.
        prepared_card: `data/prepared/card.json`.
        validation_result: `reports/validation/result.json`.
        predictions: `reports/evaluation/predictions.csv`; without it the confusion matrix is left out.
    """
    parts = [
        f"# {_escape(name_task(prepared_card['classes']))}",
        _say_accuracy(metrics),
        _list_headlines(metrics),
        *_list_answers(predictions, prepared_card["classes"]),
        "## Photos",
        _list_counts(prepared_card),
        _say_checks(validation_result),
        "## Network",
        _say_network(model_card),
        " · ".join(f"[{title}]({page})" for page, title in PAGES.items()),
    ]
    return "\n\n".join(parts) + "\n"


def _say_accuracy(metrics: Mapping[str, Any]) -> str:
    value, low, high = interval_of(metrics, "accuracy")
    interval = "" if low is None else f" (interval {show_share(low)} to {show_share(high)})"
    photos = show_count(metrics["num_photos"], "photo")
    return f"On {photos} the network never saw, it is right **{show_share(value)}** of the time{interval}."


def _list_headlines(metrics: Mapping[str, Any]) -> str:
    rows = []
    for name, title in HEADLINES.items():
        show = show_share if name in SHARES_SUMMARY else show_number
        value, low, high = interval_of(metrics, name)
        rows.append([title, show(value), "" if low is None else f"{show(low)} to {show(high)}"])
    return _table(["Test split", "Value", "Interval"], rows)


def _list_answers(predictions: pd.DataFrame | None, classes: Sequence[str]) -> list[str]:
    if predictions is None or len(classes) > MAX_CLASSES:
        return []
    names = [_escape(name) for name in classes]
    counts = count_answers(predictions, classes).tolist()
    rows = [[name, *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    return ["## Answers", _table(["Truth ↓ answer →", *names], rows)]


def _list_counts(card: Mapping[str, Any]) -> str:
    rows = [
        [_escape(name), *(f"{card['counts'].get(split, {}).get(name, 0):,}" for split in SPLITS)]
        for name in card["classes"][:MAX_CLASSES]
    ]
    totals = [f"{sum(card['counts'].get(split, {}).values()):,}" for split in SPLITS]
    return _table(["Class", *SPLITS], [*rows, ["all", *totals]])


def _say_checks(result: Mapping[str, Any]) -> str:
    verdict = describe_verdict(result)
    left_out = result["num_photos"] - result["num_usable"]
    lines = [f"Data checks: **{verdict['word']}**, {verdict['sentence']}, {show_count(left_out, 'photo')} left out."]
    missed = [row for row in result["expectations"] if not row["success"]]
    lines += [f"- {row['severity']}: {_escape(row['expectation'])}: {_escape(row['observed'])}" for row in missed]
    return "\n".join([lines[0], "", *lines[1:]]).rstrip()


def _say_network(card: Mapping[str, Any]) -> str:
    size = f"{card['image_size']} × {card['image_size']}"
    return (
        f"{_escape(card['architecture'])}, {card['num_parameters']:,} parameters, looks at {size} pixels; "
        f"{show_count(card['epochs'], 'epoch')}, weights of epoch {card['best_epoch']} kept; key `{card['key'][:12]}`, "
        f"data `{card['data_digest'][:12]}`."
    )


# --- The tables of the model card: results, counts, slices, disturbances, recipe ---

SHARES = ("accuracy", "balanced_accuracy")
MAX_SLICES = 12
MODEL = "model"
EVEN = 0.5
DISTORTIONS = {
    "shift": "shifted",
    "rotation": "turned",
    "scale": "larger or smaller",
    "brightness": "brighter or darker",
    "contrast": "other contrast",
    "blur": "blurred",
    "noise": "noisy",
    "jpeg": "compressed",
    "occlusion": "partly hidden",
    "flip": "mirrored",
    "gray": "without color",
}
RECIPE = ("optimizer", "learning_rate", "schedule", "batch_size", "weight_decay", "label_smoothing", "seed")


def list_results(metrics: Mapping[str, Any], class_scores: pd.DataFrame) -> str:
    """Headline metrics, then the recall of every class, each with its interval."""
    rows = []
    for name, title in HEADLINES.items():
        show = show_share if name in SHARES else show_number
        value, low, high = interval_of(metrics, name)
        rows.append([title, show(value), "" if low is None else f"{show(low)} to {show(high)}"])
    classes = class_scores.head(MAX_CLASSES).to_dict("records")
    recalls = [[f"Recall of {escape_markdown(str(row['class']))}", *_show_recall(row)] for row in classes]
    return markdown_table(["Metric", "Value", "Interval"], [*rows, *recalls])


def list_counts(card: Mapping[str, Any]) -> str:
    """Photos per class and split."""
    names = list(card["classes"])[:MAX_CLASSES]
    counts = [[card["counts"].get(split, {}).get(name, 0) for split in SPLITS] for name in names]
    rows = [[escape_markdown(name), *(f"{count:,}" for count in row)] for name, row in zip(names, counts, strict=True)]
    totals = [f"{sum(card['counts'].get(split, {}).values()):,}" for split in SPLITS]
    return markdown_table(["Class", *SPLITS], [*rows, ["all", *totals]])


def list_slices(slices: pd.DataFrame | None) -> list[str]:
    """Accuracy of groups of test photos, the weakest first; nothing without slices."""
    if slices is None or slices.empty or not {"feature", "slice", "num_photos", "accuracy"} <= set(slices.columns):
        return []
    known = slices.assign(accuracy=pd.to_numeric(slices["accuracy"], errors="coerce")).dropna(subset=["accuracy"])
    weakest = known.sort_values(["accuracy", "feature", "slice"], kind="stable").head(MAX_SLICES)
    rows = [
        [
            f"{escape_markdown(str(row['feature']))}: {escape_markdown(str(row['slice']))}",
            f"{int(row['num_photos']):,}",
            show_share(float(row["accuracy"])),
            _show_ends(row.get("low"), row.get("high")),
        ]
        for row in weakest.to_dict("records")
    ]
    worse = int(slices["worse"].astype(str).eq("True").sum()) if "worse" in slices else 0
    verdict = f"{worse:,} of {len(slices):,} groups" if worse else f"none of {len(slices):,} groups"
    head = f"Groups of test photos, the weakest first; {verdict} is worse than the rest beyond chance:"
    return [head, markdown_table(["Photos", "Number", "Accuracy", "Interval"], rows)]


def list_robustness(robustness: Mapping[str, Any]) -> list[str]:
    """Accuracy on disturbed test photos, and how many answers stay; nothing if it was not measured."""
    rows = []
    for name, title in DISTORTIONS.items():
        accuracy = interval_of(robustness, f"{MODEL}_{name}_accuracy")
        same = interval_of(robustness, f"{MODEL}_{name}_consistency")
        if accuracy[0] is not None:
            rows.append([title, _show_share_with_ends(*accuracy), _show_share_with_ends(*same)])
    if not rows:
        return []
    head = f"The same photos disturbed ({robustness['num_photos']:,} of them, means over several strengths):"
    return [head, markdown_table(["Photos", "Accuracy", "Same answer as before"], rows)]


def say_calibration(metrics: Mapping[str, Any]) -> list[str]:
    """What its probabilities are worth, and below which an answer is unsure."""
    error = metrics.get("expected_calibration_error")
    if error is None:
        return []
    temperature = metrics.get("temperature")
    how = "" if temperature is None else f" (temperature {temperature:g}, fitted on validation photos)"
    limit, wrong = metrics.get("min_confidence"), metrics.get("max_error")
    unsure = f" Answers with no more than {show_share(limit)} are unsure: left to people, " if limit else ""
    if unsure:
        unsure += f"at most {show_share(wrong)} of the others should be wrong."
    threshold = metrics.get("threshold", EVEN)
    chosen = "" if threshold == EVEN else f" The second class is the answer above {show_share(threshold)}."
    return [f"Its probabilities are off by {show_share(error)} on average{how}.{unsure}{chosen}"]


def list_recipe(params: Mapping[str, Any], card: Mapping[str, Any], prepared: Mapping[str, Any]) -> str:
    """How photos are prepared and how the network was trained, as a list."""
    aspect = "padded to a square" if prepared["keep_aspect"] else "squashed to a square"
    size = f"{prepared['image_size']} × {prepared['image_size']} pixels"
    train = params["train"]
    settings = ", ".join(f"{_spell(name)} {_show(train[name])}" for name in RECIPE if name in train)
    changes = ", ".join(f"{_spell(name)} {_show(value)}" for name, value in params["augment"].items() if value)
    return "\n".join(
        [
            f"- **Preprocessing:** upright, RGB, {aspect} of {size}, {prepared['resampling']}",
            f"- **Random changes to training photos:** {escape_markdown(changes) or 'none'}",
            f"- **Hyperparameters:** {escape_markdown(settings)}",
            f"- **Epochs:** {card['epochs']:,}, weights of epoch {card['best_epoch']:,} kept",
        ]
    )


def _show_recall(row: Mapping[Any, Any]) -> Sequence[str]:
    value, low, high = (_number(row.get(name)) for name in ("recall", "recall_low", "recall_high"))
    return [show_share(value), _show_ends(low, high)]


def _show_ends(low: Any, high: Any) -> str:
    ends = _number(low), _number(high)
    return "" if ends[0] is None or ends[1] is None else f"{show_share(ends[0])} to {show_share(ends[1])}"


def _show_share_with_ends(value: float | None, low: float | None, high: float | None) -> str:
    ends = _show_ends(low, high)
    return show_share(value) + (f" ({ends})" if ends else "")


def _number(value: Any) -> float | None:
    """An undefined number is an empty cell, which a table of texts holds as ""."""
    return None if value is None or value == "" or pd.isna(value) else float(value)


def _spell(name: str) -> str:
    return name.replace("_", " ")


def _show(value: Any) -> str:
    return "yes" if value is True else f"{value:g}" if isinstance(value, float) else str(value)


# --- The model card: what a trained network is for, what it is worth, where it fails; as Markdown ---
#
# Headings are those of Hugging Face's template, which follows Mitchell et al., Model Cards for Model Reporting (FAT*
# 2019). Sections that matter most stand first: MLflow shows as many of them as fit a description.

UNKNOWN_LICENCE = "not stated; ask whoever gave the photos"
USE = """```python
import mlflow

model = mlflow.pyfunc.load_model("models:/{name}@champion")
answers = model.predict(["photo.jpg"])  # label, a probability per class, error
```"""
CHECK = """```console
convlens evaluate path/to/labeled/photos
```"""


@dataclass(frozen=True, kw_only=True)
class CardInputs:
    """Everything the card says, as plain values.

    Attributes:
        model_card: `data/model/card.json`.
        prepared_card: `data/prepared/card.json`.
        source_card: the data-set card that `data.source` names; empty for a folder or an archive.
        metrics: `reports/evaluation/metrics.json`.
        class_scores: `reports/evaluation/classes.csv`.
        params: `params.yaml`, the groups that the report knows.
        num_photos_found: photos that `ingest` listed.
        model_bytes: size of model.keras.
        name: of the registered model.
        slices: `reports/evaluation/slices.csv`; None if there is none.
        robustness: `reports/robustness/metrics.json`; empty if there is none.
    """

    model_card: Mapping[str, Any]
    prepared_card: Mapping[str, Any]
    source_card: Mapping[str, Any]
    metrics: Mapping[str, Any]
    class_scores: pd.DataFrame
    params: Mapping[str, Any]
    num_photos_found: int
    model_bytes: int
    name: str = "convlens"
    slices: pd.DataFrame | None = None
    robustness: Mapping[str, Any] = field(default_factory=dict)


def render_model_card(inputs: CardInputs) -> str:
    """The whole card; the same inputs give the same text."""
    sections: Sequence[tuple[str, Sequence[str]]] = (
        ("Model Details", _describe_model(inputs)),
        ("Uses", _describe_uses(inputs)),
        ("Bias, Risks, and Limitations", _describe_limits(inputs)),
        ("How to Get Started with the Model", [USE.format(name=inputs.name), *_say_address(inputs)]),
        ("Evaluation", _describe_evaluation(inputs)),
        ("Training Details", _describe_training(inputs)),
        ("Technical Specifications", _describe_machine(inputs)),
        ("More Information", _say_reproduction(inputs)),
    )
    title = f"# Model Card: {escape_markdown(name_task(_classes(inputs)))}"
    blocks = [title, *(block for head, body in sections for block in (f"## {head}", *body) if block)]
    return "\n\n".join(blocks) + "\n"


def _classes(inputs: CardInputs) -> list[str]:
    return [str(name) for name in inputs.prepared_card["classes"]]


def _names(inputs: CardInputs, last: str = "and") -> str:
    names = [escape_markdown(name) for name in _classes(inputs)]
    shown = names if len(names) <= 12 else [*names[:11], f"{len(names) - 11} more classes"]
    return join_words(shown) if last == "and" else join_words(shown).replace(" and ", f" {last} ")


def _describe_model(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    value, low, high = interval_of(inputs.metrics, "accuracy")
    ends = "" if low is None else f" ({_confidence(inputs)} interval {show_share(low)} to {show_share(high)})"
    photos = show_count(inputs.metrics["num_photos"], "photo")
    return [
        f"A convolutional network that says whether a photo shows {_names(inputs, 'or')}. On {photos} it never saw it "
        f"is right **{show_share(value)}** of the time{ends}.",
        "\n".join(
            [
                f"- **Model type:** image classification, {escape_markdown(str(card['architecture']))}, "
                f"{card['num_parameters']:,} parameters, {inputs.model_bytes / 1e6:.1f} MB",
                f"- **Input:** one photo; it sees {card['image_size']} × {card['image_size']} pixels of it",
                f"- **Output:** one of {_names(inputs)}, with a probability for each",
                f"- **Trained by:** ConvLens, key `{card['key'][:12]}`",
                f"- **License of the data:** {escape_markdown(_licence(inputs))}",
            ]
        ),
    ]


def _licence(inputs: CardInputs) -> str:
    return str(inputs.source_card.get("license") or UNKNOWN_LICENCE)


def _describe_uses(inputs: CardInputs) -> list[str]:
    painted = inputs.source_card.get("kind") == "synthetic"
    drawn = "It has never seen a real photo: all it learned from was drawn by a program. It is for learning and tests: "
    what = "sorting" if painted else "Sorting"
    return [
        "### Direct Use",
        f"{drawn if painted else ''}{what} photos of {_names(inputs)} that are like those it was trained on, with a "
        "person looking at the answers it is unsure of.",
        "### Out-of-Scope Use",
        f"- Photos of anything but {_names(inputs)}, or of several at once: it names one of them all the same.\n"
        "- Saying where something is in the photo, how many there are, or which one it is.\n"
        "- Decisions about people, animals or safety that nobody checks.\n"
        "- Photos from another camera, place or time, before `convlens evaluate` has said what it is worth there.",
    ]


def _describe_limits(inputs: CardInputs) -> list[str]:
    counts = inputs.prepared_card["counts"].get("train", {})
    few, many = (pick(counts.values(), default=0) for pick in (min, max))
    uneven = f" Classes are uneven ({few:,} to {many:,} training photos): the rare ones are known less well."
    return [
        "The numbers below hold for photos drawn as the test split was, and for no others: photos that look alike "
        "stand in one split, but photos of one camera or one place may stand in several."
        + (uneven if many > 1.5 * few else "")
        + " A probability is about the classes it knows: an unknown object gets a high one, too. What it decides by is "
        "shown, filter by filter, in `feature_maps.html`; that a reason looks sensible does not prove it.",
        *_say_worst_class(inputs),
        "### Recommendations",
        "Evaluate it on labeled photos of your own before you use it; the command also says whether they are like the "
        f"photos of the training:\n\n{CHECK}",
    ]


def _say_worst_class(inputs: CardInputs) -> list[str]:
    table = inputs.class_scores.assign(recall=pd.to_numeric(inputs.class_scores["recall"], errors="coerce"))
    known = table.dropna(subset=["recall"])
    if known.empty or float(known["recall"].min()) == 1:
        return []
    row = known.iloc[int(known["recall"].to_numpy().argmin())]
    ends = f"{show_share(float(row['recall_low']))} to {show_share(float(row['recall_high']))}"
    name = escape_markdown(str(row["class"]))
    return [f"It is weakest on {name}: {show_share(float(row['recall']))} of them are found (interval {ends})."]


def _say_address(inputs: CardInputs) -> list[str]:
    return [
        f"`models:/{inputs.name}/VERSION` is this very one. Paths, bytes, base64 texts and arrays are all taken; a "
        "photo that cannot be read is told in its row."
    ]


def _describe_evaluation(inputs: CardInputs) -> list[str]:
    num_test = inputs.metrics["num_photos"]
    return [
        "### Testing Data, Factors & Metrics",
        f"{show_count(num_test, 'photo')} held out from the start, none of them {_alike(inputs)} a training photo. "
        f"Intervals hold the true value with {_confidence(inputs)} confidence (bootstrap over photos within each "
        "class, BCa; Wilson for shares of a class).",
        "### Results",
        list_results(inputs.metrics, inputs.class_scores),
        *list_slices(inputs.slices),
        *list_robustness(inputs.robustness),
        *say_calibration(inputs.metrics),
    ]


def _alike(inputs: CardInputs) -> str:
    near = inputs.params["preprocess"].get("near_duplicates", True)
    return "a near-duplicate of" if near else "the same file as"


def _describe_training(inputs: CardInputs) -> list[str]:
    card = inputs.prepared_card
    found = inputs.num_photos_found
    homepage = inputs.source_card.get("homepage")
    return [
        "### Training Data",
        f"{escape_markdown(str(inputs.source_card.get('name') or card.get('source', 'unknown')))}"
        + (f", {homepage}" if homepage else "")
        + f": {show_count(found, 'photo')} found, those that could be used split as below. License: "
        f"{escape_markdown(_licence(inputs))}. Digest of photos, labels and split: `{card['digest'][:12]}`.",
        list_counts(card),
        "### Training Procedure",
        list_recipe(inputs.params, inputs.model_card, card),
    ]


def _describe_machine(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    threads = show_count(card["num_threads"], "thread") if card.get("num_threads") else "one thread per core"
    seen = sum(inputs.prepared_card["counts"].get("train", {}).values()) * card["epochs"]
    return [
        f"Trained on {card['device']} in {card['precision']}, {threads}: {show_count(card['epochs'], 'epoch')}, "
        f"{seen:,} photos looked at. Seconds and memory of each epoch are among the metrics of the MLflow run."
    ]


def _say_reproduction(inputs: CardInputs) -> list[str]:
    card = inputs.model_card
    return [
        "The commit of ConvLens whose `dvc.lock` holds these digests holds everything: `git checkout` it, then "
        "`make repro` gives the same network, bit by bit, on the same machine with the same number of threads.",
        f"- Key of the training (data, parameters and code): `{card['key']}`\n"
        f"- Digest of the prepared photos: `{inputs.prepared_card['digest']}`",
        "`report.html` shows data, training and evaluation, `feature_maps.html` what the network sees.",
    ]


def _confidence(inputs: CardInputs) -> str:
    return show_share(inputs.params["evaluate"]["confidence"], 0)


# --- What the model card is made of, gathered from the files of the pipeline ---

CARD_SUFFIXES = (".yaml", ".yml")


def gather_card(inputs: ReportInputs, model_folder: Path) -> CardInputs:
    """The inputs of the model card from those of the report."""
    return CardInputs(
        model_card=inputs.model_card,
        prepared_card=inputs.prepared_card,
        source_card=read_source_card(str(inputs.prepared_card.get("source", ""))),
        metrics=inputs.metrics,
        class_scores=inputs.class_scores,
        params=inputs.params,
        num_photos_found=len(inputs.manifest),
        model_bytes=(model_folder / FILE).stat().st_size,
        name=load_params().register_.model_name,  # a parameter of the stage in dvc.yaml; the rest of its group is not
        slices=inputs.slices,
        robustness=inputs.robustness,
    )


def read_source_card(source: str) -> Mapping[str, Any]:
    """The data-set card that `data.source` names, which `ingest` has checked; empty for a folder or an archive."""
    path = Path(source)
    if path.suffix not in CARD_SUFFIXES or not path.is_file():
        return {}
    values = read_yaml(path)
    return values if isinstance(values, dict) else {}
