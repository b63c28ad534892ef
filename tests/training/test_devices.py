import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_training import cpu, free_ports, shared_recipe, train_shared

from convlens.errors import ConvLensError
from convlens.params import load_params
from convlens.training.devices import SINGLE, Rendezvous, open_devices

ROOT = Path(__file__).parents[2]
RENDEZVOUS = Rendezvous("key", seconds=0.1)


def train_params(**changes):
    return load_params().train.model_copy(update=changes)


def start(kind, folder, *, machines=(), index=0):
    environment = {**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT / 'tests'}", "TF_CPP_MIN_LOG_LEVEL": "3"}
    environment.pop("TF_CONFIG", None)
    if machines:
        task = {"type": "worker", "index": index}
        environment["TF_CONFIG"] = json.dumps({"cluster": {"worker": machines}, "task": task})
    command = [sys.executable, str(ROOT / "tests/small_training.py"), kind, str(folder)]
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(command, env=environment, cwd=ROOT, **pipes)


def answer(process, code=0):
    output, errors = process.communicate(timeout=300)
    assert process.returncode == code, errors[-3000:]
    return json.loads(output)


def assert_close(found, expected):
    assert len(found["history"]) == len(expected["history"])
    for row, wanted in zip(found["history"], expected["history"], strict=True):
        assert row == pytest.approx(wanted, rel=1e-3, abs=1e-4)
    for weight, wanted in zip(found["weights"], expected["weights"], strict=True):
        np.testing.assert_allclose(weight, wanted, rtol=1e-3, atol=1e-4)


def test_two_machines_train_the_network_that_one_trains(tmp_path):
    machines = [f"127.0.0.1:{port}" for port in free_ports(2)]
    chief = start("machine", tmp_path / "chief", machines=machines)
    worker = start("machine", tmp_path / "worker", machines=machines, index=1)
    try:
        expected = train_shared(shared_recipe(), cpu(), tmp_path / "single")
        at_worker, at_chief = answer(worker, 9), answer(chief)
    finally:
        worker.kill()
        chief.kill()
    assert_close(at_chief["whole"], expected)
    for training in ("whole", "resumed"):  # bit by bit, on every machine
        assert at_worker[training] == at_chief[training], training
    assert at_chief["resumed"] == at_chief["whole"]
    assert at_chief["devices"] == at_worker["devices"] == "2 x cpu on 2 machines"
    assert at_chief["message"] == at_worker["message"] == "thirteen byte"
    assert at_worker["files"] == []
    assert set(at_chief["files"]) == {"whole", "cut", "state.npz"}
    assert "Expected all 2 machines until the end of the training" in at_chief["error"]


def test_two_devices_of_one_machine_train_the_network_that_one_trains(tmp_path):
    found = answer(start("mirrored", tmp_path))
    assert found["devices"] == ["cpu", "2 x cpu"]
    assert_close(found["mirrored"], found["single"])
    assert found["too few"][1] == pytest.approx(found["too few"][0], rel=1e-4)
    masks = found["dropout"]
    assert masks["first"] == masks["first again"]
    assert len({str(mask) for mask in [*masks["first"], *masks["second"]]}) == 4


def test_one_device_needs_no_strategy(monkeypatch):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    assert open_devices(train_params(strategy="single"), RENDEZVOUS) is SINGLE
    assert (SINGLE.num_replicas, SINGLE.is_chief, SINGLE.from_chief(lambda: b"x")) == (1, True, b"x")


def config(machines, **task):
    return json.dumps({"cluster": {"worker": machines}, "task": {"type": "worker", **task}})


TWO = ["127.0.0.1:1", "127.0.0.1:2"]


@pytest.mark.parametrize(
    ("changes", "text", "rendezvous", "message"),
    [
        ({"strategy": "multiworker"}, "", RENDEZVOUS, "Expected the machines of the training .* no TF_CONFIG"),
        ({"strategy": "multiworker"}, config(TWO[:1], index=0), RENDEZVOUS, "one machine in it"),
        ({"strategy": "single"}, config(TWO, index=1), Rendezvous("", is_chief=False), "train.strategy single"),
        ({"strategy": "auto"}, "{", RENDEZVOUS, "Expected TF_CONFIG like .* Received: '{'"),
        (
            {"strategy": "auto"},
            config(TWO, index=1),
            RENDEZVOUS,
            "Expected `convlens worker` on machine 1 .* `dvc repro`",
        ),
        (
            {},
            config(TWO, index=0),
            Rendezvous("", is_chief=False),
            "Expected `dvc repro` on machine 0 .* `convlens worker`",
        ),
        (
            {"strategy": "auto", "batch_size": 1},
            config(TWO, index=0),
            RENDEZVOUS,
            "batch_size of at least a photo per device, 2",
        ),
    ],
)
def test_what_is_missing_is_told(monkeypatch, changes, text, rendezvous, message):
    monkeypatch.setenv("TF_CONFIG", text)
    with pytest.raises(ConvLensError, match=message):
        open_devices(train_params(**changes), rendezvous)


def test_mirrored_needs_several_devices(monkeypatch):
    if len(tf.config.list_logical_devices("GPU")) > 1:
        pytest.skip("this machine has several GPUs")
    monkeypatch.delenv("TF_CONFIG", raising=False)
    with pytest.raises(
        ConvLensError, match=r"Expected several GPUs \(train.strategy: mirrored\). Received: one device"
    ):
        open_devices(train_params(strategy="mirrored"), RENDEZVOUS)
