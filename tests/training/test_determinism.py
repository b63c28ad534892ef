"""In processes of their own: TensorFlow's demand for determinism cannot be taken back."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

SRC = Path(__file__).parents[2] / "src"
START = """
import keras, tensorflow as tf
from convlens.training.runtime import require_determinism

class Fractional(keras.layers.Layer):
    def call(self, pictures):
        return tf.nn.fractional_max_pool(pictures, [1, 1.5, 1.5, 1], pseudo_random=True)[0]

    def compute_output_shape(self, shape):
        return (shape[0], shape[1] * 2 // 3, shape[2] * 2 // 3, shape[3])

def network(middle):
    pictures = keras.Input((12, 12, 3))
    values = keras.layers.Conv2D(4, 3, padding="same", name="conv_1")(pictures)
    values = keras.layers.BatchNormalization(name="normalize")(middle(values))
    return keras.Model(pictures, keras.layers.Dropout(0.5)(values))
"""


def run(script: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(SRC), "TF_CPP_MIN_LOG_LEVEL": "3"}
    code = START + textwrap.dedent(script)
    return subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False)


def test_a_layer_that_cannot_be_deterministic_is_named():
    done = run('require_determinism(network(Fractional(name="pool_1")))')
    assert "ConvLensError: Expected layers that give the same result in every run" in done.stderr
    assert "Received: pool_1 (Fractional), which TensorFlow" in done.stderr


def test_ordinary_layers_pass_and_end_as_they_were():
    done = run("""
        body = network(keras.layers.MaxPooling2D(name="pool_1"))
        before = body.get_weights()
        require_determinism(body)
        assert all((a == b).all() for a, b in zip(before, body.get_weights(), strict=True))
        print("fine")
    """)
    assert done.stdout == "fine\n", done.stderr
