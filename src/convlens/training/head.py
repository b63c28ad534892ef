"""Fit the last layer to features of photos: a multinomial logistic regression whose penalty the photos choose.

    head = fit_head(train_features, train_labels, validation_features, validation_labels, num_classes=2)
    body.get_layer("logits").set_weights([head.kernel, head.bias])

What comes out is the kernel and the bias of an ordinary Keras `Dense` layer.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize, minimize_scalar
from scipy.special import log_softmax

from convlens.errors import ConvLensError

PENALTIES = (10.0, 1.0, 0.1, 0.01, 0.001)
FEW_VALIDATED = 500  # with fewer photos to validate, a penalty is chosen by folds over those to learn from as well
NUM_FOLDS = 5
MAX_STEPS, TOLERANCE = 500, 1e-7
LEAST_FACTOR, MOST_FACTOR = 0.1, 20.0


@dataclass(frozen=True)
class Head:
    """A fitted last layer.

    Attributes:
        kernel: float32 (channels, num_outputs), one output for two classes.
        bias: float32 (num_outputs,).
        penalty: that was chosen.
        factor: what the logits of that penalty are multiplied by; it is part of kernel and bias.
        losses: log loss of held-out photos by penalty, each with its own factor, in nats.
    """

    kernel: np.ndarray
    bias: np.ndarray
    penalty: float
    factor: float
    losses: dict[float, float]


def fit_head(
    train: np.ndarray,
    train_labels: np.ndarray,
    validation: np.ndarray,
    validation_labels: np.ndarray,
    *,
    num_classes: int,
    seed: int = 0,
) -> Head:
    """Choose the penalty with the lowest log loss on held-out photos, and fit to the photos to learn from alone.

    Held out are the validation photos, or, where they are few, each fold of all these photos in turn. A penalty that is
    right for the direction of the logits makes them too small, most of all with many classes and few photos for each;
    so each is judged with a factor that the held-out photos choose, too.

    Args:
        train: features float32 (num_views, num_photos, channels).
        train_labels: int64 (num_photos,).
        validation: features float32 (num_views, num_validation, channels).
        validation_labels: int64 (num_validation,).
        num_classes: at least 2.
        seed: of the folds.

    Raises:
        ConvLensError: there are no photos to validate, or not every class has photos to learn from.
    """
    if not len(validation_labels) or len(np.unique(train_labels)) < num_classes:
        raise ConvLensError(
            "Expected photos of every class to learn from, and some to validate. Received: "
            f"{len(train_labels):,} of {len(np.unique(train_labels))} of {num_classes} classes, and "
            f"{len(validation_labels):,}. Take more photos, or a larger preprocess.validation_fraction."
        )
    scale = FeatureScale.measure(train)
    train, validation = scale.apply(train), scale.apply(validation)
    if len(validation_labels) < FEW_VALIDATED:
        views = np.concatenate([train, validation], axis=1)
        labels = np.concatenate([train_labels, validation_labels])
        folds = _deal_out(labels, seed)
        parts = [(views[:, folds != fold], labels[folds != fold], views[:, folds == fold], labels[folds == fold])
                 for fold in np.unique(folds)]  # fmt: skip
    else:
        parts = [(train, train_labels, validation, validation_labels)]
    answers: list[list[np.ndarray]] = [[] for _ in PENALTIES]
    for features, labels, held_out, _ in parts:
        for given, (kernel, bias) in zip(answers, fit_path(features, labels, PENALTIES, num_classes), strict=True):
            given.append((held_out @ kernel + bias).mean(axis=0))  # as in the evaluation: the mean over the views
    expected = np.concatenate([labels for *_, labels in parts])
    logits = [np.concatenate(given) for given in answers]
    factors = [find_factor(given, expected) for given in logits]
    losses = [measure_logits(factor * given, expected)[0] for factor, given in zip(factors, logits, strict=True)]
    best = int(np.argmin(losses))
    *_, (kernel, bias) = fit_path(train, train_labels, PENALTIES[: best + 1], num_classes)
    kernel, bias = scale.fold(factors[best] * kernel, factors[best] * bias)
    if num_classes == 2:
        kernel, bias = kernel[:, 1:] - kernel[:, :1], bias[1:] - bias[:1]
    return Head(
        kernel.astype(np.float32),
        bias.astype(np.float32),
        penalty=PENALTIES[best],
        factor=factors[best],
        losses=dict(zip(PENALTIES, losses, strict=True)),
    )


def find_factor(logits: np.ndarray, labels: np.ndarray) -> float:
    """Find what to multiply logits (N, K) by for the lowest log loss, with one photo's worth of doubt.

    Without the doubt a few photos that are all classified correctly would ask for an endless factor. After Platt 1999,
    "Probabilistic outputs for support vector machines", section 2.2.
    """
    doubt = 1 / (len(labels) + logits.shape[1])

    def measure(logarithm: float) -> float:
        logs = log_softmax(np.exp(logarithm) * logits, axis=1)
        return -float((1 - doubt) * logs[np.arange(len(labels)), labels].mean() + doubt * logs.mean())

    bounds = (np.log(LEAST_FACTOR), np.log(MOST_FACTOR))
    return float(np.exp(minimize_scalar(measure, bounds=bounds, method="bounded").x))


def _deal_out(labels: np.ndarray, seed: int) -> np.ndarray:
    """Deal photos out to folds, every class evenly: int64 (num_photos,)."""
    shuffled = np.random.default_rng(seed).permutation(len(labels))
    folds = np.empty(len(labels), np.int64)
    folds[shuffled[np.argsort(labels[shuffled], kind="stable")]] = np.arange(len(labels)) % NUM_FOLDS
    return folds


@dataclass(frozen=True)
class FeatureScale:
    """Brings features to mean 0 and a mean squared norm of 1, so that a penalty means the same for any backbone.

    Channels keep their proportions: those that vary little in ImageNet's features say little.

    Attributes:
        mean: float64 (channels,).
        norm: what features are divided by.
    """

    mean: np.ndarray
    norm: float

    @classmethod
    def measure(cls, features: np.ndarray) -> "FeatureScale":
        """Measure features (num_views, num_photos, channels)."""
        mean = features.mean(axis=(0, 1), dtype=np.float64)
        variance = features.var(axis=(0, 1), dtype=np.float64)
        return cls(mean, float(np.sqrt(variance.sum())) or 1.0)

    def apply(self, features: np.ndarray) -> np.ndarray:
        """Give features in float64."""
        scaled: np.ndarray = (features - self.mean) / self.norm
        return scaled

    def fold(self, kernel: np.ndarray, bias: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Give the kernel and the bias that do to plain features what the given ones do to scaled ones."""
        return kernel / self.norm, bias - self.mean @ (kernel / self.norm)


def fit_path(
    features: np.ndarray, labels: np.ndarray, penalties: Sequence[float], num_classes: int
) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yield kernel (channels, num_classes) and bias (num_classes,) for each penalty, each starting from the last.

    What is minimized is the sum of the photos' log losses, the mean over their views, and half of the penalty times the
    squared norm of the kernel.

    Args:
        features: float64 (num_views, num_photos, channels).
        labels: int64 (num_photos,); classes may be missing.
        penalties: the strongest first.
        num_classes: at least 2.
    """
    num_views, _, num_channels = features.shape
    rows = features.reshape(-1, num_channels)
    targets = np.tile(np.eye(num_classes)[labels], (num_views, 1))
    size = num_channels * num_classes

    def measure(values: np.ndarray, penalty: float) -> tuple[float, np.ndarray]:
        kernel, bias = values[:size].reshape(num_channels, num_classes), values[size:]
        logs = log_softmax(rows @ kernel + bias, axis=1)
        errors = (np.exp(logs) - targets) / num_views
        loss = -np.vdot(targets, logs) / num_views + penalty / 2 * np.vdot(kernel, kernel)
        return loss, np.concatenate([(rows.T @ errors + penalty * kernel).ravel(), errors.sum(axis=0)])

    values = np.zeros(size + num_classes)
    options = {"maxiter": MAX_STEPS, "maxcor": 20, "ftol": TOLERANCE, "gtol": 0.0}
    for penalty in penalties:
        values = minimize(measure, values, (penalty,), "L-BFGS-B", jac=True, options=options).x
        yield values[:size].reshape(num_channels, num_classes), values[size:]


def measure_logits(logits: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """Give the log loss in nats and the accuracy of logits (N, K), or (N, 1) of the second of two classes."""
    if logits.shape[1] == 1:
        logits = np.concatenate([np.zeros_like(logits), logits], axis=1)
    losses = -log_softmax(logits.astype(np.float64), axis=1)[np.arange(len(labels)), labels]
    return float(losses.mean()), float((logits.argmax(axis=1) == labels).mean())
