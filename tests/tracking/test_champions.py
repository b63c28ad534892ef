"""Aliases and the notes of who was champion; two at once are in test_champions_race."""

import re
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities.model_registry import ModelVersion
from registry_store import NAME, aliases, use_registry

from convlens.errors import ConvLensError
from convlens.tracking import registry as champions
from convlens.tracking.environment import utc_now
from convlens.tracking.registry import (
    CHAMPION,
    GATE,
    ROLLED_BACK_TAG,
    ChampionChangedError,
    Reason,
    alias_period_rows,
    challenge,
    demote,
    find_alias,
    list_alias_periods,
    promote,
)
from convlens.tracking.store import Store


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    monkeypatch.setattr(champions, "user_name", lambda: "anna")
    return use_registry(tmp_path, monkeypatch)


def version(store: Store, number: str) -> ModelVersion:
    return store.client.get_model_version(NAME, number)


def make_champion(store: Store, number: str) -> None:
    promote(store, version(store, number), Reason(GATE, f"why {number}"), expected=find_alias(store, NAME, CHAMPION))


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
        promote(store, version(store, "3"), Reason(GATE, ""), expected=decided_about)
    with pytest.raises(ChampionChangedError, match="Expected no version of 'convlens'"):
        promote(store, version(store, "3"), Reason(GATE, ""), expected=None)
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
        promote(store, version(store, "2"), Reason(GATE, ""), expected=version(store, "1"))
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
