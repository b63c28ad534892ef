import json
import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
from small_training import free_ports

from convlens.errors import ConvLensError
from convlens.training.devices import Cluster, meet, read_cluster


def environment(cluster, task):
    return {"TF_CONFIG": json.dumps({"cluster": cluster, "task": task})}


@pytest.mark.parametrize(
    ("jobs", "task", "expected"),
    [
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 0}, Cluster(("a:1", "b:2"), 0)),
        ({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 1}, Cluster(("a:1", "b:2"), 1)),
        (
            {"chief": ["c:1"], "worker": ["a:1", "b:2"]},
            {"type": "chief", "index": 0},
            Cluster(("c:1", "a:1", "b:2"), 0),
        ),
        (
            {"chief": ["c:1"], "worker": ["a:1", "b:2"]},
            {"type": "worker", "index": 1},
            Cluster(("c:1", "a:1", "b:2"), 2),
        ),
        ({"worker": ["a:1"]}, {"type": "worker", "index": 0}, None),
        ({}, {}, None),
    ],
)
def test_who_the_machines_are(jobs, task, expected):
    assert read_cluster(environment(jobs, task)) == expected


def test_without_the_variable_there_is_one_machine():
    assert read_cluster({}) is None
    assert read_cluster({"TF_CONFIG": " "}) is None


WORKER = {"type": "worker", "index": 0}


@pytest.mark.parametrize(
    ("variables", "reason"),
    [
        ({"TF_CONFIG": "worker"}, "Expecting value"),
        ({"TF_CONFIG": "[1]"}, "no attribute"),
        (environment({"worker": ["a:1", "b:2"], "ps": ["c:1"]}, WORKER), "chief or worker, not ps"),
        (environment({"worker": ["a:1", "b:2"]}, {"type": "evaluator", "index": 0}), "chief or worker, not evaluator"),
        (environment({"worker": ["a:1", "b:2"]}, {"type": "worker", "index": 2}), "none of the 2 machines"),
        (environment({"worker": ["a:1", "b:2"]}, {"type": "chief", "index": 0}), "none of the 2 machines"),
        (environment({"worker": ["a:1", "a:1"]}, WORKER), "an address of its own"),
        (environment({"worker": ["a:1", "b"]}, WORKER), "host:port, not 'b'"),
        (environment({"worker": ["a:1", "b:99999"]}, WORKER), "host:port, not 'b:99999'"),
    ],
)
def test_what_is_no_cluster_is_told(variables, reason):
    with pytest.raises(ConvLensError, match=f"Expected TF_CONFIG like .* Received: .*{reason}"):
        read_cluster(variables)


def machines(count):
    return tuple(f"127.0.0.1:{port}" for port in free_ports(count))


def meet_all(addresses, purposes, *, seconds=20.0, known=None):
    """The error of each machine, or None."""

    def join(index):
        cluster = Cluster((known or {}).get(index, addresses), index)
        try:
            meet(cluster, purpose=purposes[index], seconds=seconds)
        except ConvLensError as error:
            return str(error)
        return None

    with ThreadPoolExecutor(len(purposes)) as threads:
        return list(threads.map(join, range(len(purposes))))


def test_all_go_together():
    assert meet_all(machines(3), ["key"] * 3) == [None] * 3


def test_a_stranger_at_the_door_is_no_machine():
    addresses = machines(2)
    with ThreadPoolExecutor(1) as threads:
        chief = threads.submit(meet, Cluster(addresses, 0), purpose="key", seconds=20.0)
        port = int(addresses[0].rpartition(":")[2])
        while True:
            try:
                stranger = socket.create_connection(("127.0.0.1", port))
                break
            except ConnectionRefusedError:
                continue
        with stranger:
            stranger.sendall(b"GET / HTTP/1.1\r\n\r\n")
        meet(Cluster(addresses, 1), purpose="key", seconds=20.0)
        assert chief.result() is None


def test_another_purpose_is_refused():
    chief, worker = meet_all(machines(2), ["key", "other"], seconds=0.5)
    assert "Expected all machines of TF_CONFIG. Received: nothing from 127.0.0.1:" in chief
    assert "Received: the chief trains with other data, parameters or code. Bring this machine to the same" in worker


def test_another_list_of_machines_is_refused():
    addresses = machines(2)
    _, worker = meet_all(addresses, ["key"] * 2, seconds=0.5, known={1: (*addresses, "127.0.0.1:9")})
    assert "the chief's TF_CONFIG names other machines" in worker


def test_nobody_waits_for_ever():
    addresses = machines(3)
    chief, worker = meet_all(addresses, ["key"] * 2, seconds=0.5)
    assert f"Received: nothing from {addresses[2]}. Start `convlens worker` there" in chief
    assert "it ended, or the other machines did not come in time" in worker
    with pytest.raises(ConvLensError, match=f"Expected the chief at {addresses[0]}. Received: Connection refused"):
        meet(Cluster(addresses, 1), purpose="key", seconds=0.1)


def test_a_port_in_use_is_told():
    with socket.create_server(("", 0)) as taken:
        port = taken.getsockname()[1]
        cluster = Cluster((f"127.0.0.1:{port}", "127.0.0.1:1"), 0)
        with pytest.raises(ConvLensError, match=f"Expected port {port} of this machine to be free"):
            meet(cluster, purpose="key", seconds=0.1)
