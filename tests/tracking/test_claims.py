"""Claims on a server without locks: one who was killed does not keep the others out for ever."""

from pathlib import Path

import pytest
from registry_store import NAME, use_registry

from convlens.errors import ConvLensError
from convlens.tracking import registry as claims
from convlens.tracking.registry import CLAIM_TAG, exclusive
from convlens.tracking.store import Store

LEFT = f"{CLAIM_TAG}left"


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """A store that looks like a server."""
    monkeypatch.setattr(claims, "PAUSE_SECONDS", 0.001)
    return Store("http://127.0.0.1", use_registry(tmp_path, monkeypatch, num_versions=0).client)


def tags(store: Store) -> dict[str, str]:
    found: dict[str, str] = store.client.get_registered_model(NAME).tags
    return found


def test_a_claim_is_there_for_the_block_only(store: Store) -> None:
    with exclusive(store, NAME):
        assert [tag.startswith(CLAIM_TAG) for tag in tags(store)] == [True]
    assert tags(store) == {}
    with pytest.raises(ZeroDivisionError), exclusive(store, NAME):
        raise ZeroDivisionError
    assert tags(store) == {}


def test_a_claim_left_behind_is_taken_away(
    store: Store, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(claims, "STALE_SECONDS", 0.01)
    store.client.set_registered_model_tag(NAME, LEFT, "anna, process 7 on there")
    with exclusive(store, NAME):
        assert LEFT not in tags(store)
    told = "Waiting for anna, process 7 on there, to finish with the aliases of 'convlens'.\n"
    assert capsys.readouterr().err == told


def test_a_claim_of_another_is_respected(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "WAIT_SECONDS", 0.05)
    store.client.set_registered_model_tag(NAME, LEFT, "anna")
    with pytest.raises(ConvLensError, match="Expected to be the only one"), exclusive(store, NAME):
        pass
    assert tags(store) == {LEFT: "anna"}
