import pytest

from convlens.params import TrainingSize, load_params
from convlens.training.fit import learning_rate_at, size_at

SIZES = (TrainingSize(until=0.5, size=64), TrainingSize(until=0.85, size=96), TrainingSize(until=1.0, size=112))


def rates(num_steps=100, **changes):
    params = load_params().train.model_copy(update={"learning_rate": 2.0, "warmup_fraction": 0.2, **changes})
    return [learning_rate_at(step / num_steps, params) for step in range(num_steps + 1)]


def test_cosine_rises_then_falls_to_zero():
    found = rates(schedule="cosine")
    assert found[0] == pytest.approx(0.1)
    assert found[20] == pytest.approx(2.0)
    assert found[60] == pytest.approx(1.0)
    assert found[100] == pytest.approx(0.0)
    assert found[:21] == sorted(found[:21])
    assert found[20:] == sorted(found[20:], reverse=True)


def test_constant_stays():
    found = rates(schedule="constant")
    assert set(found[20:]) == {2.0}


def test_no_warmup():
    assert rates(warmup_fraction=0.0)[0] == pytest.approx(2.0)


@pytest.mark.parametrize(("num_epochs", "expected"), [(20, [64] * 10 + [96] * 7 + [112] * 3), (1, [64]), (2, [64, 96])])
def test_sizes_grow_over_the_epochs(num_epochs, expected):
    assert [size_at(epoch / num_epochs, SIZES) for epoch in range(num_epochs)] == expected
