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
