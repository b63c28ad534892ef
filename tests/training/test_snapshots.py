"""Snapshots of the weights over a training."""

import numpy as np
import pytest

from convlens.errors import ConvLensError
from convlens.models.files import SNAPSHOTS, decode_weights, encode_weights, load_snapshots, snapshot_name
from convlens.training.checkpoints import Checkpoint, State, kept_epochs


def test_epochs_are_powers_of_two_thinned_evenly():
    assert kept_epochs(54, 6) == (1, 2, 4, 8, 16, 32)
    assert kept_epochs(64, 6) == (1, 4, 8, 16, 32, 64)
    assert kept_epochs(256, 6) == (1, 4, 16, 64, 128, 256)
    assert kept_epochs(1000, 2) == (1, 512)
    assert kept_epochs(1000, 1) == (1,)
    assert kept_epochs(3, 6) == (1, 2)
    assert kept_epochs(3, 0) == ()


@pytest.mark.parametrize("most", range(9))
def test_what_is_held_was_held_before_or_is_this_epoch(most):
    before: set[int] = set()
    for epoch in range(1, 2100):
        now = set(kept_epochs(epoch, most))
        assert now <= before | {epoch}
        assert len(now) <= most
        before = now


def test_kernels_keep_three_digits_and_vectors_all():
    rng = np.random.default_rng(0)
    kernels = [rng.normal(0, scale, (3, 3, 2, 4)).astype(np.float32) for scale in (1e-9, 1, 1e9)]
    weights = [*kernels, rng.normal(0, 1e6, 7).astype(np.float32), np.arange(3), np.zeros((2, 2), np.float32)]
    content = encode_weights(weights)
    assert content == encode_weights(weights)
    found = decode_weights(content)
    for values, expected in zip(found[:3], kernels, strict=True):
        assert values.dtype == np.float32
        np.testing.assert_allclose(values, expected, rtol=2**-11, atol=np.abs(expected).max() * 2**-24)
    for values, expected in zip(found[3:], weights[3:], strict=True):
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)


def keep(checkpoint, epochs):
    for epoch in epochs:
        state = State(history=[{"epoch": number} for number in range(1, epoch + 1)])
        checkpoint.save(state, lambda epoch=epoch: [np.full(3, epoch, np.float32)])


def test_the_folder_holds_what_a_training_at_this_epoch_holds(tmp_path):
    checkpoint = Checkpoint(tmp_path / "state", 3)
    assert checkpoint.read_snapshots() == {}
    keep(checkpoint, range(1, 18))
    whole = checkpoint.read_snapshots()
    assert list(whole) == [1, 4, 16]
    again = Checkpoint(tmp_path / "other", 3)
    keep(again, range(1, 10))
    keep(again, range(8, 18))  # interrupted after epoch 9, whose state was lost with that of epoch 8
    assert again.read_snapshots() == whole
    keep(again, [1])  # begun anew
    assert list(again.read_snapshots()) == [1]


def test_no_snapshots_ask_for_no_weights(tmp_path):
    def refuse():
        raise AssertionError

    Checkpoint(tmp_path / "state").save(State(history=[{"epoch": 1}]), refuse)
    assert [path.name for path in (tmp_path / "state").iterdir()] == ["state.npz"]


def test_snapshots_are_read_back_by_epoch(tmp_path):
    assert load_snapshots(tmp_path / "none") == {}
    folder = tmp_path / SNAPSHOTS
    folder.mkdir()
    for epoch in (12, 2):
        (folder / snapshot_name(epoch)).write_bytes(encode_weights([np.full(2, epoch, np.float32)]))
    found = load_snapshots(tmp_path)
    assert {epoch: weights[0].tolist() for epoch, weights in found.items()} == {2: [2, 2], 12: [12, 12]}
    assert list(found) == [2, 12]
    (folder / snapshot_name(3)).write_bytes(b"broken")
    with pytest.raises(ConvLensError, match=r"Expected weights in .*epoch_00003.npz"):
        load_snapshots(tmp_path)
