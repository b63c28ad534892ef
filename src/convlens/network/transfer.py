"""Transfer learning: a backbone trained on ImageNet, frozen at first and then trained on at a lower rate.

Normalisation layers of a pretrained backbone stay in inference mode for good, also while their neighbours learn: their
averages come from a million photos, and batches of ours would spoil them (https://keras.io/guides/transfer_learning).
"""

import math
from dataclasses import dataclass

import keras
from keras import layers

from convlens.network.backbones import apply_backbone
from convlens.params import ModelParams, TransferParams

HEAD = "logits"


@dataclass(frozen=True)
class Phase:
    """What is trained at a time.

    Attributes:
        name: `all`, `frozen` or `fine_tuned`; phases of one name have the same variables.
        variables: those that are updated.
        rate_factor: what the learning rate is multiplied with.
    """

    name: str
    variables: tuple[keras.Variable, ...]
    rate_factor: float


def apply_transfer(
    pictures: keras.KerasTensor, params: TransferParams, *, image_size: int | None, dtype: str
) -> keras.KerasTensor:
    """Preprocessing, backbone with random weights, and a global average.

    Args:
        pictures: (N, image_size, image_size, 3), values 0..255.
        params: the group `model.transfer`.
        image_size: side in pixels; None takes any.
        dtype: Keras dtype policy of the backbone.

    Returns:
        Features of shape (N, channels of the backbone).

    Raises:
        ConvLensError: there is no such backbone, or the pictures are too small for it.
    """
    values, found = apply_backbone(pictures, params.backbone, image_size=image_size, dtype=dtype)
    if params.weights != "none":
        for layer in found:
            freeze_normalisation(layer)
    values = layers.GlobalAveragePooling2D(name="average", dtype=dtype)(values)
    return layers.Dropout(params.dropout, name="dropout", dtype=dtype)(values) if params.dropout else values


def freeze_normalisation(layer: keras.Layer) -> None:
    """Keep batch normalisation in inference mode; in Keras `trainable = False` does that, even if training=True."""
    for part in layer.layers if isinstance(layer, keras.Model) else [layer]:
        if isinstance(part, layers.BatchNormalization):
            part.trainable = False


def phase_at(progress: float, params: ModelParams, body: keras.Model) -> Phase:
    """What is trained when a share of the training, 0..1, is done.

    Networks that start from random weights are always trained as a whole.
    """
    transfer = params.transfer
    if params.architecture != "transfer" or transfer.weights == "none":
        return Phase("all", tuple(body.trainable_variables), 1.0)
    head = list(body.get_layer(HEAD).trainable_variables)
    if progress < transfer.frozen_fraction or transfer.frozen_fraction == 1:
        return Phase("frozen", tuple(head), 1.0)
    backbone = [layer for layer in body.layers if layer.trainable_variables and layer.name != HEAD]
    num_unfrozen = math.ceil(transfer.unfrozen_fraction * len(backbone))
    variables = [variable for layer in backbone[-num_unfrozen:] for variable in layer.trainable_variables]
    return Phase("fine_tuned", (*variables, *head), transfer.fine_tune_rate)
