"""Aliases and the notes of who was champion, also when two processes promote at once."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException
from photo_files import ROOT
from registry_store import NAME, aliases, fill_registry, use_registry
from small_training import blank_database
from tracking_server import serve_tracking

from convlens.errors import ConvLensError
from convlens.tracking import registry
from convlens.tracking.environment import utc_now
from convlens.tracking.registry import (
    CHAMPION,
    GATE,
    ROLLED_BACK_TAG,
    ChampionChangedError,
    alias_period_rows,
    challenge,
    demote,
    find_alias,
    list_alias_periods,
    list_versions,
    set_champion,
)
from convlens.tracking.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(registry, "user_name", lambda: "anna")
    return use_registry(tmp_path, monkeypatch)


def version(store: Store, number: str) -> ModelVersion:
    return store.client.get_model_version(NAME, number)


def make_champion(store: Store, number: str) -> None:
    set_champion(store, version(store, number), GATE, f"why {number}", expected=find_alias(store, NAME, CHAMPION))


def told(store: Store) -> list[tuple[str, str, str, str, str | None]]:
    return [(item.version, item.by, item.how, item.why, item.before) for item in list_alias_periods(store, NAME)]


def test_challenger_champion_previous(store: Store) -> None:
    challenge(store, version(store, "1"))
    assert aliases(store) == {"challenger": "1"}
    make_champion(store, "1")
    assert aliases(store) == {"champion": "1"}
    challenge(store, version(store, "1"))  # judged anew: it stays the champion
    challenge(store, version(store, "2"))
    assert aliases(store) == {"champion": "1", "challenger": "2"}
    challenge(store, version(store, "3"))
    make_champion(store, "2")
    assert aliases(store) == {"champion": "2", "previous": "1", "challenger": "3"}
    assert told(store) == [("1", "anna", "gate", "why 1", None), ("2", "anna", "gate", "why 2", "1")]


def test_who_is_champion_already_is_noted_once(store: Store) -> None:
    store.client.set_registered_model_alias(NAME, CHAMPION, "1")  # and then came a crash
    make_champion(store, "1")
    make_champion(store, "1")
    assert told(store) == [("1", "anna", "gate", "why 1", None)]
    assert re.fullmatch(
        r"since \d{4}-\d\d-\d\d \d\d:\d\d UTC, by the gate \(anna\): why 1",
        version(store, "1").tags["convlens.champion"],
    )


def test_who_decided_about_another_champion_is_too_late(store: Store) -> None:
    make_champion(store, "1")
    decided_about = find_alias(store, NAME, CHAMPION)
    make_champion(store, "2")
    expected = "Expected version 1 of 'convlens' to be the champion still. Received: version 2"
    with pytest.raises(ChampionChangedError, match=re.escape(expected)):
        set_champion(store, version(store, "3"), GATE, "", expected=decided_about)
    with pytest.raises(ChampionChangedError, match="Expected no version of 'convlens'"):
        set_champion(store, version(store, "3"), GATE, "", expected=None)
    assert aliases(store) == {"champion": "2", "previous": "1"}
    assert len(list_alias_periods(store, NAME)) == 2


def test_a_race_with_who_asks_nobody_is_lost_and_told(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Somebody sets the alias in MLflow's own page just after us."""
    make_champion(store, "1")
    plain = MlflowClient.set_registered_model_alias

    def overtaken(client: MlflowClient, name: str, alias: str, number: str) -> None:
        plain(client, name, alias, "3" if alias == CHAMPION else number)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", overtaken)
    with pytest.raises(ChampionChangedError, match=r"Received: version 3; somebody else changed it"):
        set_champion(store, version(store, "2"), GATE, "", expected=version(store, "1"))
    assert [item[0] for item in told(store)] == ["1"]


def test_rollback_goes_back_step_by_step(store: Store) -> None:
    for number in "123":
        make_champion(store, number)
    demote(store, NAME, "wrong at night")
    assert aliases(store) == {"champion": "2", "previous": "1"}
    assert version(store, "3").tags[ROLLED_BACK_TAG] == "wrong at night"
    period = demote(store, NAME, "wrong by day")
    assert (period.version, period.before, period.how, period.why) == ("1", "2", "rollback", "wrong by day")
    assert aliases(store) == {"champion": "1"}
    with pytest.raises(ConvLensError, match=r"to go back to. Received: none with the alias 'previous'"):
        demote(store, NAME, "and again")
    make_champion(store, "3")
    assert ROLLED_BACK_TAG not in version(store, "3").tags
    assert aliases(store) == {"champion": "3", "previous": "1"}


def test_rollback_without_champion_is_told(store: Store) -> None:
    with pytest.raises(ConvLensError, match="none with the alias 'champion'"):
        demote(store, NAME, "")


def test_rollback_skips_a_deleted_version(store: Store) -> None:
    for number in "123":
        make_champion(store, number)
    store.client.delete_model_version(NAME, "1")
    demote(store, NAME, "")
    assert aliases(store) == {"champion": "2"}


def test_periods_end_where_the_next_begins(store: Store) -> None:
    make_champion(store, "1")
    make_champion(store, "2")
    first, second = list_alias_periods(store, NAME)
    assert first.since < second.since
    newest, oldest = alias_period_rows([first, second])
    assert (newest["version"], newest["until"], newest["before"]) == ("2", None, "1")
    assert (oldest["version"], oldest["until"]) == ("1", second.since)


def test_moments_go_forward_though_clocks_differ() -> None:
    assert utc_now(after="2999-01-01T00:00:00.999Z") == "2999-01-01T00:00:01.000Z"
    assert utc_now() < "2999"


# --- two at once ---

ROUNDS = 4
# Each process makes its own two versions champion in turn, whichever version is champion at the moment.
PROMOTE = """
import sys
from mlflow import MlflowClient
from convlens.tracking.registry import CHAMPION, ChampionChangedError, find_alias, set_champion
from convlens.tracking.store import Store

uri, rounds, *numbers = sys.argv[1:]
store = Store(uri, MlflowClient(uri, uri))
print("ready", flush=True)
sys.stdin.readline()
done = late = 0
for turn in range(int(rounds)):
    version = store.client.get_model_version("convlens", numbers[turn % 2])
    try:
        set_champion(store, version, "gate", "", expected=find_alias(store, "convlens", CHAMPION))
        done += 1
    except ChampionChangedError:
        late += 1
print(done, late)
"""


def race(uri: str) -> int:
    """How often two processes that start together promoted; what came too late is not counted."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT / "src")}
    both = [
        subprocess.Popen(
            [sys.executable, "-c", PROMOTE, uri, str(ROUNDS), *pair],
            env=environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )
        for pair in ("12", "34")
    ]  # fmt: skip
    for process in both:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
    for process in both:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    counts = [process.communicate(timeout=300)[0].split() for process in both]
    assert [process.returncode for process in both] == [0, 0]
    assert [int(done) + int(late) for done, late in counts] == [ROUNDS, ROUNDS]
    return sum(int(done) for done, _ in counts)


def check_record(store: Store, num_promotions: int) -> None:
    """Every promotion that was reported is noted, the last one is champion, and no alias points nowhere."""
    periods = list_alias_periods(store, NAME)
    assert len(periods) == num_promotions >= 1
    versions = {str(version.version) for version in list_versions(store, NAME)}
    assert {period.before for period in periods} <= {None, *versions}
    assert all(period.before != period.version for period in periods)
    found = aliases(store)
    assert found["champion"] == periods[-1].version
    assert set(found.values()) <= versions
    assert store.client.get_registered_model(NAME).tags == {}


def test_two_at_once_on_a_local_database_wait_for_each_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = use_registry(tmp_path, monkeypatch, num_versions=4)
    check_record(store, race(store.uri))
    periods = list_alias_periods(store, NAME)
    assert [period.before for period in periods] == [None, *(period.version for period in periods[:-1])]
    assert aliases(store)["previous"] == periods[-1].before


def test_of_two_at_once_on_a_server_the_later_one_wins(tmp_path: Path) -> None:
    places = ["--backend-store-uri", f"sqlite:///{tmp_path}/server.db", "--artifacts-destination", str(tmp_path)]
    shutil.copyfile(blank_database(), tmp_path / "server.db")
    with serve_tracking(tmp_path, *places) as server:
        store = fill_registry(Store(server.uri, MlflowClient(server.uri, server.uri)), 4)
        check_record(store, race(server.uri))


def test_an_alias_that_another_client_creates_at_the_same_moment_is_set_again(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = MlflowClient.set_registered_model_alias

    def refuse_once(client: MlflowClient, name: str, alias: str, number: str) -> None:
        monkeypatch.setattr(MlflowClient, "set_registered_model_alias", plain)
        raise MlflowException("BAD_REQUEST: (sqlite3.IntegrityError) UNIQUE constraint failed")

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", refuse_once)
    make_champion(store, "1")
    assert aliases(store) == {"champion": "1"}


@pytest.mark.parametrize("late", ["before the note", "after the note"])
def test_who_is_overtaken_takes_its_note_back(store: Store, monkeypatch: pytest.MonkeyPatch, late: str) -> None:
    """Another process makes version 3 champion between two requests of this one."""
    make_champion(store, "1")
    expected = version(store, "1")
    plain = MlflowClient.set_model_version_tag

    def overtaken(client: MlflowClient, name: str, number: str, tag: str, value: str) -> None:
        monkeypatch.undo()
        if late == "after the note":
            plain(client, name, number, tag, value)
        client.set_registered_model_alias(NAME, CHAMPION, "3")
        if late == "before the note":
            plain(client, name, number, tag, value)

    monkeypatch.setattr(MlflowClient, "set_model_version_tag", overtaken)
    with pytest.raises(ChampionChangedError, match="Received: version 3"):
        set_champion(store, version(store, "2"), GATE, "", expected=expected)
    assert [item.version for item in list_alias_periods(store, NAME)] == ["1"]
    assert aliases(store) == {"champion": "3", "previous": "1"}


def test_the_one_overtaken_is_named_as_the_champion_before(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 3 was promoted in full after this process had looked at the champion."""
    make_champion(store, "1")
    expected, plain = version(store, "1"), MlflowClient.set_registered_model_alias

    def come_between(client: MlflowClient, name: str, alias: str, number: str) -> None:
        if alias == CHAMPION:
            monkeypatch.setattr(MlflowClient, "set_registered_model_alias", plain)
            set_champion(Store("http://no.lock", client), version(store, "3"), GATE, "", expected=expected)
        plain(client, name, alias, number)

    monkeypatch.setattr(MlflowClient, "set_registered_model_alias", come_between)
    set_champion(store, version(store, "2"), GATE, "", expected=expected)
    assert [(item.version, item.before) for item in list_alias_periods(store, NAME)][1:] == [("3", "1"), ("2", "3")]
    assert aliases(store) == {"champion": "2", "previous": "3"}
