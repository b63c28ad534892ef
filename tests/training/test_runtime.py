import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from convlens.training import runtime as precision


def write_flags(monkeypatch, folder, flags):
    (folder / "cpuinfo").write_text(f"model\t: x\nflags\t\t: {flags}\n")
    monkeypatch.setattr(precision, "CPU_INFO", folder / "cpuinfo")


@pytest.mark.parametrize(
    ("flags", "ratios", "expected"),
    [
        ("sse avx512_bf16", [0.7], "bfloat16"),
        ("sse amx_bf16", [1.3, 0.8], "bfloat16"),  # noise: measured again
        ("sse avx512_bf16", [3.0, 1.4], "bfloat16"),
        ("sse avx512_bf16", [1.3, 2.0], "float32"),
        ("sse avx512_bf16", [9.0], "float32"),  # the processor has it, TensorFlow does not use it
        ("sse avx512f", [], "float32"),
    ],
)
def test_precision_follows_processor_and_clock(monkeypatch, tmp_path, flags, ratios, expected):
    write_flags(monkeypatch, tmp_path, flags)
    left = iter(ratios)
    monkeypatch.setattr(precision, "compare_speed", lambda rounds: next(left))
    assert precision.choose_precision([]) == expected
    assert list(left) == []


def test_a_machine_that_tells_nothing_of_itself_computes_in_float32(monkeypatch, tmp_path):
    monkeypatch.setattr(precision, "CPU_INFO", tmp_path / "missing")
    assert precision.choose_precision([]) == "float32"


def test_the_race_is_run():
    assert precision.compare_speed(1) > 0


# --- determinism ---


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
