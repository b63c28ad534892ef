"""The schema of `params.yaml`: typed, frozen, strict; every field documented.

Each class is one group of the file. A stage asks for a group by naming a parameter of its function after it.
Values outside their range, of another type, or with an unknown name are refused with one line that says what was
expected and what came.
"""

import difflib
import json
import math
import re
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from convlens.environment import hide_passwords
from convlens.errors import ConvLensError, explain_invalid

Fraction = Annotated[float, Field(ge=0, le=1)]
PositiveInt = Annotated[int, Field(ge=1)]


class Group(BaseModel):
    """A group of parameters: frozen, strict about types, closed to unknown names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    @classmethod
    def group_names(cls) -> list[str]:
        """Name the fields as the file does."""
        return [field.alias or attribute for attribute, field in cls.model_fields.items()]


G = TypeVar("G", bound=Group)
MAX_VALUES = 100_000  # of one YAML file


class DataParams(Group):
    """Where the photos come from."""

    source: str = Field(min_length=1, description="A folder of class folders, a zip or tar archive, or a card.")


Expectation = Literal[
    "unreadable",
    "quarantined",
    "photos_per_class",
    "class_balance",
    "formats",
    "min_side",
    "aspect",
    "dark",
    "blurred",
    "duplicated",
    "two_labels",
    "unique_paths",
]


class ValidateParams(Group):
    """What the photos must be like. Expectations named in `critical` stop the pipeline, the others only warn."""

    critical: tuple[Expectation, ...] = Field(description="Expectations that stop the pipeline; the others warn.")
    formats: tuple[str, ...] = Field(min_length=1, description="File formats taken, by Pillow's names.")
    min_side: PositiveInt = Field(description="Shorter side in pixels below which a photo is quarantined.")
    max_aspect: float = Field(ge=1, description="Longer side over shorter side that photos should not exceed.")
    max_megapixels: float = Field(
        gt=0, le=178, description="Millions of pixels above which a photo is quarantined unread; Pillow reads no more."
    )
    min_photos_per_class: PositiveInt = Field(description="Usable photos every class must have.")
    max_class_ratio: float = Field(ge=1, description="Largest class over smallest class.")
    max_unreadable_fraction: Fraction = Field(description="Share of photos that may not decode.")
    max_quarantined_fraction: Fraction = Field(description="Share of photos that may be left out in all.")
    max_duplicated_fraction: Fraction = Field(description="Share of photos that may be exact copies of another one.")
    max_dark_fraction: Fraction = Field(description="Share of photos that may be darker than `dark_brightness`.")
    dark_brightness: Fraction = Field(description="Mean brightness in 0..1 below which a photo counts as dark.")
    max_blurred_fraction: Fraction = Field(description="Share of photos that may be below `blurred_sharpness`.")
    blurred_sharpness: float = Field(
        ge=0,
        description="Variance of the Laplacian (8-bit levels, at 256 pixels) below which a photo counts as blurred.",
    )


class PreprocessParams(Group):
    """How photos become arrays, and which photo goes into which split."""

    image_size: int = Field(ge=16, le=1024, description="Side in pixels of the square the loader gives.")
    keep_aspect: bool = Field(description="True pads to a square with gray; false squashes.")
    resampling: Literal["bilinear", "bicubic", "lanczos"] = Field(description="Pillow's filter for resizing.")
    validation_fraction: float = Field(gt=0, lt=1, description="Share of photos for choosing the best weights.")
    test_fraction: float = Field(gt=0, lt=1, description="Share of photos that training never touches.")
    seed: int = Field(ge=0, description="Seed of the split.")
    near_duplicates: bool = Field(
        description="Keep near-duplicates in one split: photos resized, recompressed, brighter or cropped "
        "by up to 10 % a side. False: only files of the same content."
    )
    duplicate_distance: int = Field(
        ge=0, le=10, description="Bits of 64 in which hashes of copies may differ; above 6 slower, finds hardly more."
    )
    match_mirrored: bool = Field(description="Count a photo mirrored left to right as a copy, too.")
    photos_per_shard: PositiveInt = Field(description="Photos in one array file.")
    num_workers: int = Field(ge=0, description="Threads that decode; 0 takes one per core.")

    @model_validator(mode="after")
    def _leave_photos_for_training(self) -> "PreprocessParams":
        if self.validation_fraction + self.test_fraction >= 1:
            raise ValueError(
                "Expected validation_fraction + test_fraction below 1, so that photos are left for training. "
                f"Received: {self.validation_fraction} + {self.test_fraction}"
            )
        return self


class ClassicParams(Group):
    """A plain Sequential network, that of preset `lecture`: blocks of convolution and pooling, flatten, dense."""

    num_blocks: PositiveInt = Field(description="Blocks of one convolution, ReLU and one pooling.")
    filters: PositiveInt = Field(description="Filters of the first block; each block doubles them.")
    kernel_size: PositiveInt = Field(description="Side of the kernels, f in the size formula.")
    stride: PositiveInt = Field(description="Step of the convolutions, s in the size formula.")
    padding: Literal["valid", "same"] = Field(description="valid: p = 0; same: as much as keeps the size at stride 1.")
    pooling: Literal["max", "average"] = Field(description="What a 2x2 pooling keeps.")
    dense_units: PositiveInt = Field(description="Units of the dense layer after flattening.")
    dropout: float = Field(ge=0, lt=1, description="Share of flattened values dropped in training.")


class DenseParams(Group):
    """The fully connected baseline."""

    units: tuple[PositiveInt, ...] = Field(min_length=1, description="Units of each hidden layer.")


class TrainingSize(Group):
    """One step of progressive resizing."""

    until: float = Field(gt=0, le=1, description="Share of the epochs at which this size ends.")
    size: int = Field(ge=32, description="Side in pixels.")


class ResidualParams(Group):
    """A small ResNet-9 that takes any size, trained at growing sizes."""

    width: int = Field(ge=4, description="Unit of filters: the first layer has twice, the last eight times as many.")
    training_sizes: tuple[TrainingSize, ...] = Field(min_length=1, description="Sizes of the training pictures.")

    @model_validator(mode="after")
    def _cover_all_epochs(self) -> "ResidualParams":
        ends = [step.until for step in self.training_sizes]
        if ends != sorted(set(ends)) or ends[-1] != 1:
            raise ValueError(f"Expected training_sizes whose `until` rise and end at 1.0. Received: {ends}")
        return self


class TransferParams(Group):
    """A network trained on ImageNet, that learns the classes at hand."""

    backbone: str = Field(
        min_length=1,
        description="EfficientNetLite0, -Lite1 or -Lite2, whose weights are installed, several of them side by side "
        "as in EfficientNetLite0+EfficientNetLite2, or the name of a network in keras.applications.",
    )
    weights: str = Field(
        min_length=1,
        description="imagenet (installed, or fetched by Keras), none, or a file (.h5, .weights.h5 or .keras).",
    )
    weights_sha256: str | None = Field(
        pattern=r"^[0-9a-f]{64}$", description="Digest of the file that `weights` names; null for imagenet and none."
    )
    head: Literal["fitted", "trained"] = Field(
        description="fitted: the first epoch fits the last layer to features that are computed once, a logistic "
        "regression, and further ones fine-tune; trained: by gradient steps, like all else."
    )
    frozen_fraction: Fraction = Field(
        description="Share of the training in which only a trained last layer learns; 1 never changes the backbone, "
        "whose training ends with the fit if the last layer is fitted."
    )
    fine_tune_rate: float = Field(gt=0, le=1, description="Factor on the learning rate once the backbone learns, too.")
    unfrozen_fraction: float = Field(
        gt=0, le=1, description="Share of the backbone's layers, from the answer back, that learn then."
    )
    dropout: float = Field(ge=0, lt=1, description="Share of the backbone's features dropped in training.")

    @property
    def has_weights_file(self) -> bool:
        """Whether `weights` names a file."""
        return self.weights not in ("imagenet", "none")

    @model_validator(mode="after")
    def _pin_the_file(self) -> "TransferParams":
        """Only with its digest among the parameters does DVC see that the file has changed."""
        if self.has_weights_file != (self.weights_sha256 is not None):
            expected = "the file's digest (`sha256sum FILE`)" if self.has_weights_file else "null"
            raise ValueError(
                f"Expected weights_sha256 to be {expected}, as weights is '{self.weights}'. "
                f"Received: {self.weights_sha256 or 'null'}"
            )
        return self


class ModelParams(Group):
    """Which network. Only the group of the chosen architecture matters."""

    architecture: Literal["residual", "classic", "dense", "transfer"] = Field(description="Name of the architecture.")
    residual: ResidualParams
    classic: ClassicParams
    dense: DenseParams
    transfer: TransferParams

    @property
    def is_pretrained(self) -> bool:
        """Whether the training starts from weights that were learnt elsewhere."""
        return self.architecture == "transfer" and self.transfer.weights != "none"

    @property
    def ends_with_fit(self) -> bool:
        """Whether the training is but the fit of the last layer."""
        return self.is_pretrained and self.transfer.head == "fitted" and self.transfer.frozen_fraction == 1


class AugmentParams(Group):
    """Random changes to training photos; the values are the widest change either way."""

    min_crop_area: float = Field(gt=0, le=1, description="Smallest share of the photo a random crop keeps.")
    max_crop_aspect: float = Field(ge=1, description="Widest stretch of a crop (4/3: from 3:4 to 4:3).")
    flip: bool = Field(description="Mirror left and right half of the time.")
    rotation: float = Field(ge=0, le=180, description="Degrees.")
    brightness: Fraction = Field(description="Shift, in shares of the full range.")
    contrast: float = Field(ge=0, lt=1, description="Factor from 1 - x to 1 + x.")
    saturation: float = Field(ge=0, lt=1, description="Factor from 1 - x to 1 + x.")
    cutmix: Fraction = Field(description="Share of the pictures that get a box from another one, labels mixed by area.")


NO_AUGMENTATION = AugmentParams(
    min_crop_area=1.0,
    max_crop_aspect=1.0,
    flip=False,
    rotation=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    cutmix=0.0,
)


class TrainParams(Group):
    """How the network is trained."""

    seed: int = Field(ge=0, description="Seed of weights, data order and augmentation.")
    device: Literal["auto", "cpu", "gpu"] = Field(description="auto takes a GPU if there is one.")
    num_threads: int = Field(ge=0, description="Threads TensorFlow computes with; 0 takes one per core.")
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        description="auto: bfloat16 where the hardware has it and it is not slower."
    )
    deterministic: bool = Field(description="Refuse operations whose result may differ from run to run; slower.")
    strategy: Literal["auto", "single", "mirrored", "multiworker"] = Field(
        description="One device, all GPUs of this machine, or the machines of TF_CONFIG; auto takes what there is."
    )
    epochs: PositiveInt | None = Field(description="Passes over the training photos; null: as many as fit max_minutes.")
    max_minutes: float | None = Field(
        gt=0, description="Time for the training, which the epochs are fitted to; or null."
    )
    batch_size: PositiveInt = Field(description="Photos per step.")
    optimizer: Literal["conv_muon", "adam", "adamw", "sgd"] = Field(
        description="conv_muon: Muon (Jordan et al. 2024, https://kellerjordan.github.io/posts/muon) for the kernels "
        "of convolutions, as in airbench (arXiv:2404.00498): each update is made orthogonal, so that every filter "
        "moves and none dominates; Nesterov momentum for the rest. adam, adamw and sgd (Nesterov momentum 0.9) are "
        "Keras's and want another learning_rate, adam a far smaller one."
    )
    learning_rate: float = Field(gt=0, description="Peak of the schedule.")
    weight_decay: float = Field(ge=0, description="Decoupled weight decay (adamw and sgd).")
    schedule: Literal["cosine", "constant"] = Field(description="cosine falls to 0 at the last step.")
    warmup_fraction: float = Field(ge=0, lt=1, description="Share of the steps in which the rate rises.")
    label_smoothing: float = Field(ge=0, lt=1, description="Share of certainty taken from the targets.")
    keep: Literal["best", "last"] = Field(description="Weights of the lowest validation loss, or of the last epoch.")
    patience: int = Field(ge=0, description="Epochs without a lower validation loss before stopping; 0 never stops.")
    snapshots: int = Field(
        ge=0,
        le=32,
        description="Most snapshots of the weights kept over the epochs, besides the network itself; 0 keeps none.",
    )

    @model_validator(mode="after")
    def _end_somewhere(self) -> "TrainParams":
        if self.epochs is None and self.max_minutes is None:
            raise ValueError("Expected a number for epochs, for max_minutes, or for both. Received: null for both")
        return self

    @property
    def length(self) -> str:
        """How long the training is to be: `40 epochs`, `as many epochs as fit 5 minutes`, or at most so many."""
        if self.max_minutes is None:
            return f"{self.epochs} epochs"
        minutes = f"fit {self.max_minutes:g} minutes"
        return f"as many epochs as {minutes}" if self.epochs is None else f"{self.epochs} epochs or what {minutes}"

    def changed(self, **changes: object) -> "TrainParams":
        """Other values for some fields, checked like values of a file."""
        return TrainParams.model_validate({**self.model_dump(), **changes})


class TrainingRecipe(Group):
    """What is trained, and how: the groups `model`, `augment` and `train` together."""

    model: ModelParams
    augment: AugmentParams
    train: TrainParams

    @property
    def schedule(self) -> TrainParams:
        """The group `train`; of a single epoch if the training is but the fit of the last layer."""
        return self.train.changed(epochs=1, max_minutes=None) if self.model.ends_with_fit else self.train


PLAIN_TRAINING: Mapping[str, object] = {  # an optimizer and nothing else
    "max_minutes": None,
    "weight_decay": 0.0,
    "warmup_fraction": 0.0,
    "label_smoothing": 0.0,
    "keep": "last",
    "patience": 0,
    "snapshots": 0,
}


class PrecisionTarget(Group):
    """A threshold by the precision it reaches."""

    precision: float = Field(
        gt=0, le=1, description="Precision that the threshold must reach on the validation photos."
    )


class InferenceParams(Group):
    """How the outputs of a trained network become predictions; chosen after training, so a change trains nothing."""

    mirror: bool = Field(
        description="Test-time augmentation: the mean over the photo, its center, and their mirror images."
    )
    center_crop: float | None = Field(
        gt=0.25,
        lt=1,
        description="Test-time augmentation: also the center of the photo, so much of each side, enlarged; null: not.",
    )
    threshold: Annotated[float, Field(ge=0, lt=1)] | Literal["max_f1"] | PrecisionTarget = Field(
        description="Of two classes the second is predicted above this probability: a number, max_f1, or "
        "{precision: 0.95}; the last two are chosen on the validation photos. More classes: 0.5, the most probable."
    )
    max_error: Fraction = Field(
        description="Share of misclassified photos tolerated; on less confident predictions the network abstains. "
        "1 never abstains."
    )


class EvaluateParams(Group):
    """How the intervals of the metrics are made."""

    num_resamples: int = Field(ge=100, description="Bootstrap resamples behind every interval.")
    confidence: float = Field(gt=0.5, lt=1, description="Coverage of the intervals.")
    seed: int = Field(ge=0, description="Seed of the bootstrap.")


class BaselineParams(Group):
    """The fully connected network that `robustness` trains for comparison: Adam, constant rate, no augmentation."""

    image_size: int = Field(ge=16, le=256, description="Side in pixels that the prepared photos are resized to.")
    units: tuple[PositiveInt, ...] = Field(min_length=1, description="Units of each hidden layer.")
    epochs: PositiveInt = Field(description="Passes over the training photos.")
    batch_size: PositiveInt = Field(description="Photos per step.")
    learning_rate: float = Field(gt=0, description="Rate of Adam.")


class RobustnessParams(Group):
    """How the test photos are perturbed. Every list holds the strengths of one perturbation; an empty one skips it."""

    max_photos: PositiveInt = Field(description="Test photos at most, evenly taken from the split.")
    seed: int = Field(ge=0, description="Seed of noise, of occluded places, and of the baseline.")
    shift: tuple[PositiveInt, ...] = Field(
        description="Pixels of the prepared photo, each up, down, left and right; the border is filled by reflection."
    )
    rotation: tuple[Annotated[float, Field(gt=0, le=180)], ...] = Field(
        description="Degrees, each both ways; the border is filled by reflection."
    )
    scale: tuple[Annotated[float, Field(ge=0.1, le=10)], ...] = Field(
        description="Factor on the size of what is shown; below 1 the border is filled by reflection."
    )
    brightness: tuple[Annotated[float, Field(ge=-1, le=1)], ...] = Field(
        description="Shift, in shares of the full range."
    )
    contrast: tuple[Annotated[float, Field(ge=0, le=10)], ...] = Field(
        description="Factor on the distance from the photo's mean brightness."
    )
    blur: tuple[Annotated[float, Field(gt=0, le=50)], ...] = Field(
        description="Radius of a Gaussian blur (one standard deviation) in pixels."
    )
    noise: tuple[Annotated[float, Field(gt=0, le=1)], ...] = Field(
        description="Standard deviation of Gaussian noise on every value, in shares of the full range."
    )
    jpeg: tuple[Annotated[int, Field(ge=1, le=95)], ...] = Field(description="Pillow's JPEG quality.")
    occlusion: tuple[Annotated[float, Field(gt=0, lt=1)], ...] = Field(
        description="Share of the photo's area that a gray square hides, at a random place."
    )
    patch: float = Field(
        gt=0, lt=1, description="Side of the shrunken photo that is put at nine places, as a share of the canvas."
    )
    baseline: BaselineParams


class LabelErrorsParams(Group):
    """How photos whose label may be wrong are found."""

    folds: int = Field(
        ge=0,
        description="0 judges the validation and test photos; k >= 2 trains k more networks by the run's own recipe, "
        "each on the training photos without one part, and judges these, too.",
    )

    @model_validator(mode="after")
    def _leave_photos_to_learn_from(self) -> "LabelErrorsParams":
        if self.folds == 1:
            raise ValueError("Expected 0 or at least 2 for folds. Received: 1")
        return self


class ReportParams(Group):
    """What the pages show."""

    num_correct: int = Field(ge=0, description="Rightly answered test photos on the feature-map page.")
    num_errors: int = Field(ge=0, description="Most confident errors on the feature-map page.")
    max_filters: PositiveInt = Field(description="Filters shown per layer; the page says how many there are.")


IntervalEnd = Literal["lower", "upper"]


class Bounds(Group):
    """What one metric must reach."""

    min: float | None = Field(default=None, description="The least it may be.")
    max: float | None = Field(default=None, description="The most it may be.")
    end: IntervalEnd | None = Field(
        default=None, description="The end of the metric's interval that counts; left out, the value itself does."
    )

    @model_validator(mode="after")
    def _demand_something(self) -> "Bounds":
        if self.min is None and self.max is None:
            raise ValueError("Expected min, max or both. Received: neither")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(f"Expected min up to max. Received: min {self.min}, max {self.max}")
        return self


class SliceParams(Group):
    """What every slice of the test photos must reach."""

    min_accuracy: Fraction = Field(description="Accuracy that the worst slice must reach; 0 demands nothing.")
    min_photos: PositiveInt = Field(description="Photos a slice must have to count.")
    end: IntervalEnd | None = Field(
        description="The end of the slice's interval that counts; null: its accuracy itself does."
    )


class ChampionParams(Group):
    """What the comparison with the champion, photo by photo, must show."""

    verdict: Literal["no_worse", "better", "any"] = Field(
        description="no_worse: the paired test does not show it worse, and it loses at most max_loss; better: the "
        "paired test shows it better; any: compared, and taken whatever comes out."
    )
    max_loss: Fraction = Field(
        description="With no_worse, share of the photos that it may answer wrong beyond the champion's; 0 keeps "
        "champions from getting worse step by step, each too small to be seen."
    )


class CriteriaParams(Group):
    """What a version must meet to become the champion. Metrics go by their names in the metrics.json of a folder."""

    evaluation: dict[str, Bounds] = Field(description="Metrics of reports/evaluation/metrics.json.")
    robustness: dict[str, Bounds] = Field(description="Metrics of reports/robustness/metrics.json.")
    label_errors: dict[str, Bounds] = Field(description="Metrics of reports/label_errors/metrics.json.")
    slices: SliceParams
    champion: ChampionParams


class RegisterParams(Group):
    """When a model becomes the champion."""

    model_name: str | None = Field(
        pattern=r"^[^/:@]+$",
        description="Name in the model registry; null: that of the photos, `photos` for ../photos, so that a model of "
        "other photos does not follow on this one.",
    )
    experiment: str = Field(min_length=1, description="Name of the MLflow experiment.")
    criteria: CriteriaParams

    @model_validator(mode="before")
    @classmethod
    def _tell_of_the_move(cls, values: Any) -> Any:
        if isinstance(values, Mapping) and "min_accuracy" in values:
            raise ValueError(
                "Expected the demand on the accuracy as criteria.evaluation.accuracy.min. "
                f"Received: min_accuracy: {values['min_accuracy']}, its former name"
            )
        return values


class CompareParams(Group):
    """When `convlens compare` calls a run a regression."""

    max_regression: Fraction = Field(description="Largest loss of accuracy tolerated, as a share of the test photos.")


class Recording(Group):
    """What MLflow gets of a run besides its result.

    No result depends on it, so a stage that takes it does not list it under `params` in `dvc.yaml`.

    Attributes:
        experiment: name of the MLflow experiment.
        params: all of `params.yaml`, flat.
    """

    experiment: str
    params: dict[str, str]


class Params(Group):
    """All of `params.yaml`."""

    data: DataParams
    validate_: ValidateParams = Field(alias="validate")
    preprocess: PreprocessParams
    model: ModelParams
    augment: AugmentParams
    train: TrainParams
    inference: InferenceParams
    evaluate: EvaluateParams
    robustness: RobustnessParams
    label_errors: LabelErrorsParams
    report: ReportParams
    register_: RegisterParams = Field(alias="register")
    compare: CompareParams

    @property
    def recipe(self) -> TrainingRecipe:
        """The groups that a training is made of."""
        return TrainingRecipe(model=self.model, augment=self.augment, train=self.train)

    @property
    def model_name(self) -> str:
        """Name of the registered model."""
        return self.register_.model_name or name_source(self.data.source)

    @property
    def recording(self) -> Recording:
        """What is recorded of a run besides its result."""
        flat = flatten_params(self.model_dump(mode="json", by_alias=True))
        return Recording(experiment=self.register_.experiment, params=flat)

    def group(self, name: str) -> Group:
        """Give a group by its name in the file."""
        fields = {field.alias or attribute: attribute for attribute, field in type(self).model_fields.items()}
        group: Group = getattr(self, fields[name])
        return group


def load_params(path: Path = Path("params.yaml")) -> Params:
    """Read and check the whole file.

    Raises:
        ConvLensError: the file is missing, is not YAML, or a value is unknown, of the wrong type or out of range.
    """
    return parse_group(Params, read_yaml(path), where=str(path))


def read_model_name(path: Path = Path("params.yaml")) -> str:
    """Read the name of the registered model alone: what is amiss in other groups is no business of who uses it.

    Raises:
        ConvLensError: no such file, or one without a source of the photos.
    """
    groups = read_yaml(path)
    groups = groups if isinstance(groups, dict) else {}
    register = groups.get("register")
    named = register.get("model_name") if isinstance(register, dict) else None
    return str(named or name_source(parse_group(DataParams, groups.get("data", {}), where=f"{path}: data").source))


def name_source(source: str) -> str:
    """Name what `data.source` names, by its last part: `photos` for ../photos, photos.zip or s3://bucket/photos."""
    path = re.split(r"[?#]", source)[0] if "://" in source else source  # an address may end in a token
    last = re.split(r"[/\\]", path.rstrip("/\\"))[-1].rpartition("@" if "://" in source else "\0")[-1]
    stem = re.sub(r"(\.(ya?ml|zip|tar|tgz|tbz2|txz|gz|bz2|xz))+$", "", last, flags=re.IGNORECASE)
    return re.sub(r"[^\w.-]+", "-", stem).strip("-.") or "convlens"


def read_yaml(path: Path) -> Any:
    """The plain content of a YAML 1.2 file, read as DVC reads it (`1e-3` is a number)."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    if not path.is_file():
        raise ConvLensError(f"Expected a YAML file at {path}. Received: nothing there. Run from the repository's root.")
    try:
        values = YAML(typ="safe").load(path.read_text(encoding="utf-8"))
    except (YAMLError, ValueError, TypeError, RecursionError) as error:  # also impossible dates, endless numbers
        raise ConvLensError(f"Expected valid YAML in {path}. Received: {' '.join(str(error).split())}") from error
    if _count_values(values, {}) > MAX_VALUES:
        raise ConvLensError(f"Expected at most {MAX_VALUES:,} values in {path}. Received: more, by its aliases.")
    return values


def read_committed(path: Path) -> Any:
    """The plain content of a YAML file in the last commit; None without Git, a commit, or the file in it."""
    from ruamel.yaml import YAML
    from ruamel.yaml.error import YAMLError

    command = ["git", "show", f"HEAD:./{path.name}"]
    try:
        done = subprocess.run(command, cwd=path.parent, capture_output=True, check=False)
        return YAML(typ="safe").load(done.stdout.decode("utf-8")) if done.returncode == 0 else None
    except (OSError, ValueError, YAMLError):
        return None


def _count_values(values: Any, known: dict[int, float]) -> float:
    """Values as they would be written out: aliases make a few lines endless. Infinity if something holds itself."""
    if not isinstance(values, (dict, list)):
        return 1
    if id(values) not in known:
        known[id(values)] = math.inf
        inside = [*values, *values.values()] if isinstance(values, dict) else values
        known[id(values)] = 1 + sum(_count_values(value, known) for value in inside)
    return known[id(values)]


def parse_group(group: type[G], values: Any, *, where: str) -> G:
    """Check plain values against a group; `where` names their file in errors."""
    try:
        # JSON mode: strict about types, yet a list is fine for a tuple.
        return group.model_validate_json(json.dumps(values, default=str))
    except (TypeError, ValueError) as error:
        raise ConvLensError(_explain(error, where, group)) from error


def _explain(error: Exception, where: str, group: type[Group]) -> str:
    if not isinstance(error, ValidationError):
        return f"Expected plain values in {where}. Received: {error}"
    return "\n".join(explain_invalid(one, where, _find_meant(one, group)) for one in error.errors())


def _find_meant(detail: Any, group: type[Group]) -> str:
    """The dotted name that is most like an unknown one: beside it, or of the same name in another group; or ''."""
    if detail["type"] != "extra_forbidden":
        return ""
    known, (*groups, name) = list_names(group), map(str, detail["loc"])
    inside = ".".join(groups)
    beside = [one for one in known if one.rpartition(".")[0] == inside]
    near = difflib.get_close_matches(name, [one.rpartition(".")[2] for one in beside], n=1)
    if near:
        return f"{inside}.{near[0]}".lstrip(".")
    return next((one for one in known if one.rpartition(".")[2] == name), "")


def list_names(group: type[Group], prefix: str = "") -> list[str]:
    """The dotted names of all parameters of a group, groups themselves among them, in the order of the file."""
    names = []
    for attribute, field in group.model_fields.items():
        name = f"{prefix}{field.alias or attribute}"
        names.append(name)
        if isinstance(field.annotation, type) and issubclass(field.annotation, Group):
            names += list_names(field.annotation, f"{name}.")
    return names


# --- flat parameters ---


def flatten_params(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested parameters by dotted names, for records: texts without passwords, everything else as JSON."""
    flat: dict[str, str] = {}
    for name, value in values.items():
        if isinstance(value, Mapping):
            flat |= flatten_params(value, f"{prefix}{name}.")
        else:
            flat[f"{prefix}{name}"] = hide_passwords(value if isinstance(value, str) else json.dumps(value))
    return flat


ABSENT = "–"


@dataclass(frozen=True)
class ParameterRow:
    """A parameter that is not the same everywhere.

    Attributes:
        name: dotted, as `dvc exp run -S` takes it.
        values: as text, one per set of parameters; `–` where it does not exist.
    """

    name: str
    values: tuple[str, ...]


def list_differences(sets: Sequence[Mapping[str, Any]]) -> tuple[ParameterRow, ...]:
    """The parameters that differ between nested sets of them, in the order of the last set."""
    flat = [flatten_params(values) for values in sets]
    names = dict.fromkeys(name for values in reversed(flat) for name in values)
    rows = [ParameterRow(name, tuple(values.get(name, ABSENT) for values in flat)) for name in names]
    return tuple(row for row in rows if len(set(row.values)) > 1)
