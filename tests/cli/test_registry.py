"""`convlens promote`, `convlens rollback` and `convlens history`, on a registry without trained models."""

import getpass
import json
from pathlib import Path

import pytest
from registry_store import MET, MISSED, NAME, add_evaluated_version, aliases, record_verdict, use_registry

from convlens.cli.main import main
from convlens.tracking.promotion import CRITERIA_TAG, read_verdict
from convlens.tracking.store import Store

TABLE = (
    "criterion             value         demanded  verdict  measured\n"
    "evaluation.accuracy  0.9500  at least 0.8000  passed   on 180 photos\n"
)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Store:
    """Version 1 is champion, 2 the challenger; both have met the criteria."""
    store = use_registry(tmp_path, monkeypatch, num_versions=2)
    for number in "12":
        record_verdict(store, number, MET, opponent=None if number == "1" else "1")
    store.client.set_registered_model_alias(NAME, "champion", "1")
    store.client.set_registered_model_alias(NAME, "challenger", "2")
    return store


def run(capfd: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    try:
        main(arguments)
    except SystemExit as stop:
        code = int(stop.code or 0)
    captured = capfd.readouterr()
    return code, captured.out, captured.err


def rows(capfd: pytest.CaptureFixture[str]) -> list[tuple[str | None, ...]]:
    found = json.loads(run(capfd, "history", "--json")[1])
    assert all(row["since"] is None or row["since"].endswith("Z") for row in found)
    return [tuple(row[name] for name in ("version", "by", "how", "why", "before")) for row in found]


def test_the_challenger_is_promoted(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    assert run(capfd, "promote") == (
        0,
        f"{TABLE}\n{NAME} version 2 is the champion now, after version 1.\n",
        "",
    )
    assert aliases(store) == {"champion": "2", "previous": "1"}
    assert rows(capfd) == [("2", getpass.getuser(), "promote", "All 1 criteria are met.", "1")]
    assert run(capfd, "promote") == (0, f"{TABLE}\n{NAME} version 2 is the champion already.\n", "")
    assert len(rows(capfd)) == 1


@pytest.mark.parametrize("wanted", [(), ("2",), ("challenger",)])
def test_who_misses_a_criterion_is_refused_with_the_table(
    store: Store, capfd: pytest.CaptureFixture[str], wanted: tuple[str, ...]
) -> None:
    record_verdict(store, "2", MET, MISSED, opponent="1")
    code, out, _ = run(capfd, "promote", *wanted)
    assert code == 1
    assert out.splitlines()[2].split()[:5] == ["evaluation.accuracy", "0.7500", "at", "least", "0.8000"]
    assert out.endswith(
        "convlens version 2 is not promoted: 1 of 2 criteria is missed. "
        "To promote it all the same: --force --reason WHY.\n"
    )
    assert aliases(store) == {"champion": "1", "challenger": "2"}


def test_markdown_also_when_it_is_refused(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    record_verdict(store, "2", MISSED, opponent="1")
    code, out, err = run(capfd, "promote", "--markdown")
    assert (code, err) == (1, "")
    assert out.splitlines() == [
        "### convlens version 2: not promoted",
        "",
        "convlens version 2 is not promoted: 1 of 1 criteria is missed. To promote it all the same: "
        "--force --reason WHY.",
        "",
        "| criterion | value | demanded | verdict | measured |",
        "|---|--:|--:|---|---|",
        "| evaluation.accuracy | 0.7500 | at least 0.8000 | missed | on 180 photos |",
    ]
    assert run(capfd, "promote", "1", "--markdown")[1].startswith("### convlens version 1: champion\n")


def test_force_needs_a_reason_and_records_it(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    record_verdict(store, "2", MISSED, opponent="1")
    assert run(capfd, "promote", "--force")[0] == 2
    assert run(capfd, "promote", "--reason", "it is good")[0] == 2
    code, out, _ = run(capfd, "promote", "--force", "--reason", "the labels of May were wrong")
    assert code == 0
    assert out.endswith("convlens version 2 is the champion now, after version 1, by force.\n")
    assert rows(capfd)[0][2:4] == ("force", "the labels of May were wrong")


def test_a_version_without_verdict_is_refused(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    store.client.delete_model_version_tag(NAME, "2", CRITERIA_TAG)
    code, out, _ = run(capfd, "promote")
    assert code == 1
    assert out.startswith("convlens version 2 was never judged, so it is not promoted; `dvc repro` judges it.")


def test_rollback_and_back_again(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run(capfd, "promote")
    code, out, _ = run(capfd, "rollback", "--reason", "wrong at night")
    assert (code, out) == (0, "convlens version 1 is the champion again, after version 2: wrong at night.\n")
    assert aliases(store) == {"champion": "1"}
    code, out, _ = run(capfd, "promote", "2")
    assert code == 1
    assert "not_rolled_back" in out
    assert "it was rolled back: wrong at night" in out
    assert run(capfd, "promote", "2", "--force", "--reason", "mended the camera")[0] == 0
    assert [row[0] for row in rows(capfd)] == ["2", "1", "2"]
    assert [row[2] for row in rows(capfd)] == ["force", "rollback", "promote"]
    lines = run(capfd, "history")[1].splitlines()
    assert lines[0].split() == ["version", "champion", "from", "until", "by", "how", "why"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "1", "2"]
    assert "  now  " in lines[1]
    assert lines[1].endswith("promoted by force  mended the camera")
    assert lines[2].endswith("rolled back to     wrong at night")


def test_an_alias_set_by_other_means_is_told(store: Store, capfd: pytest.CaptureFixture[str]) -> None:
    run(capfd, "promote")
    store.client.set_registered_model_alias(NAME, "champion", "1")
    assert rows(capfd)[0] == ("1", None, "unknown", "the alias was set by other means", "2")
    lines = run(capfd, "history")[1].splitlines()
    assert lines[1].split()[:4] == ["1", "–", "now", "–"]
    assert "now" not in lines[2].split()


def test_a_verdict_against_a_former_champion_is_renewed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    """Version 3 was judged against 1; meanwhile 2 is champion, which is better."""
    store = use_registry(tmp_path, monkeypatch, num_versions=0)
    for correct in ([True, False, False, False], [True] * 4, [True, True, False, False]):
        add_evaluated_version(store, correct)
    store.client.set_registered_model_alias(NAME, "champion", "2")
    record_verdict(store, "3", MET, opponent="1")
    code, out, _ = run(capfd, "promote", "3")
    assert code == 1
    missed = "no_worse_than_champion  0.5000  at least 1.0000  missed   on 4 photos; the champion's stored predictions"
    assert missed in out
    verdict = read_verdict(store.client.get_model_version(NAME, "3"))
    assert verdict is not None
    assert verdict.opponent == "2"
    assert [item.passed for item in verdict.criteria] == [True, False]
    store.client.set_registered_model_alias(NAME, "champion", "1")
    assert run(capfd, "promote", "3")[0] == 0


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["promote", "9"], "Expected a version of 'convlens'. Received: version 9; there are: 1, 2.\n"),
        (["promote", "best"], "Expected a version of 'convlens' with the alias 'best'. Received: aliases challenger"),
        (["promote", "--model", "other"], "Expected a registered model 'other'. Received: sqlite:///"),
        (
            ["rollback", "--model", "models:/other@champion"],
            "Expected a registered model 'other'. Received: sqlite:///",
        ),
        (["history", "--model", "other"], "Expected a registered model 'other'. Received: sqlite:///"),
        (["rollback"], "Expected a version of 'convlens' to go back to. Received: none with the alias 'previous'."),
    ],
)
@pytest.mark.usefixtures("store")
def test_what_is_not_there_is_told(capfd: pytest.CaptureFixture[str], arguments: list[str], told: str) -> None:
    code, out, err = run(capfd, *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(told)
    assert err.count("\n") == 1


def test_nobody_was_champion_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    use_registry(tmp_path, monkeypatch, num_versions=1)
    assert run(capfd, "history") == (0, "No version of 'convlens' has been champion yet.\n", "")
    assert run(capfd, "history", "--json") == (0, "[]\n", "")
