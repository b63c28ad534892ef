"""One graph from decoded photos of any size to calibrated probabilities, which every exported form is made of."""

from collections.abc import Mapping
from typing import Any

import keras
import tensorflow as tf

from convlens.network.export_resampling import resize_photos
from convlens.network.inference import LOGITS, answer_settings, make_views, view_settings

INPUT, OUTPUT = "photos", "probabilities"
LABELS_FILE, CARD_FILE = "labels.txt", "card.json"
SETTINGS = ("classes", "image_size", "keep_aspect", "resampling", "mirror", "center_crop", "temperature",
            "threshold", "min_probability", "key")  # fmt: skip


class ExportGraph(tf.Module):
    """Resampling, network, mean over the views of each photo, temperature and softmax in one."""

    def __init__(self, model: keras.Model, card: Mapping[str, Any]) -> None:
        """Take a whole network, and its card with the settings of the loader and of the answer."""
        super().__init__()
        self._views, self._temperature = view_settings(card), answer_settings(card)["temperature"]
        self._resizing = {name: card[name] for name in ("image_size", "keep_aspect", "resampling")}
        self.network = keras.Model(model.inputs[0], model.get_layer(LOGITS).output, name=LOGITS)

    @tf.function(input_signature=[tf.TensorSpec((None, None, None, 3), tf.uint8, name=INPUT)])  # type: ignore[untyped-decorator]
    def answer(self, photos: tf.Tensor) -> dict[str, tf.Tensor]:
        """Probabilities, float32 (N, num_classes), of RGB photos, uint8 (N, height, width, 3)."""
        pictures = resize_photos(photos, **self._resizing)
        views = make_views(tf.ensure_shape(pictures, (None, *self.network.input_shape[1:])), **self._views)
        logits = self.network(tf.concat(views, axis=0), training=False)
        if logits.shape[1] == 1:  # the sigmoid of z is the softmax of 0 and z
            logits = tf.concat([tf.zeros_like(logits), logits], axis=1)
        mean = tf.add_n(tf.split(logits, len(views))) / len(views)
        return {OUTPUT: tf.nn.softmax(mean / self._temperature)}


def describe_export(card: Mapping[str, Any]) -> dict[str, Any]:
    """What an exported form says of itself: classes, settings, and what goes in and comes out."""
    found = {"temperature": 1.0, "threshold": 0.5, "min_probability": 0.0, "key": "", **view_settings(card), **card}
    return {
        **{name: list(found[name]) if name == "classes" else found[name] for name in SETTINGS},
        "input": f"{INPUT}: uint8 (num_photos, height, width, 3), RGB, upright, of any size; resized inside",
        "output": f"{OUTPUT}: float32 (num_photos, {len(card['classes'])}), calibrated, in the order of classes",
        "decision": "of two classes the second above threshold, else the most probable; "
        "unsure if the answer's probability is not above min_probability",
    }
