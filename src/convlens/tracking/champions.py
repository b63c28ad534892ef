"""Who is champion, who was, and why: aliases say the present, tags on the versions the past.

A change of champion is compare-and-set: it happens only if the champion is still the one that the decision was about,
nobody else changes aliases meanwhile, and the alias is read again afterwards.
"""

import json
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.tracking.claims import exclusive
from convlens.tracking.people import show_moment, user_name, utc_now
from convlens.tracking.registry import ABSENT, CHALLENGER, CHAMPION, HIDDEN, PREVIOUS, find_alias, list_versions
from convlens.tracking.store import Store

REIGN_TAG = f"{HIDDEN}champion."  # and the moment; the value is JSON
CHAMPION_TAG = "convlens.champion"  # the latest of them in words
ROLLED_BACK_TAG = "convlens.rolled_back"
GATE, PROMOTED, FORCED, BACK = "gate", "promote", "force", "rollback"
HOW = {GATE: "by the gate", PROMOTED: "promoted", FORCED: "promoted by force", BACK: "rolled back to"}


class ChampionChangedError(ConvLensError):
    """Somebody else changed the champion between the decision and the deed."""


@dataclass(frozen=True)
class Reason:
    """Why the champion changes.

    Attributes:
        how: one of `HOW`.
        why: in words.
    """

    how: str
    why: str


@dataclass(frozen=True)
class Reign:
    """A version became the champion.

    Attributes:
        version: that became it.
        since: when, UTC, as `2026-03-01T12:30:00.123Z`.
        by: the user's name.
        how: one of `HOW`.
        why: in words.
        before: the champion until then; None for the first.
    """

    version: str
    since: str
    by: str
    how: str
    why: str
    before: str | None


def list_reigns(store: Store, name: str) -> list[Reign]:
    """All changes of champion, the oldest first."""
    found = [
        Reign(version=str(version.version), **json.loads(value))
        for version in list_versions(store, name)
        for tag, value in version.tags.items()
        if tag.startswith(REIGN_TAG)
    ]
    return sorted(found, key=lambda reign: reign.since)


def challenge(store: Store, version: ModelVersion) -> None:
    """Make a version the challenger, unless it is the champion."""
    with exclusive(store, version.name):
        champion = find_alias(store, version.name, CHAMPION)
        if champion is None or champion.version != version.version:
            store.client.set_registered_model_alias(version.name, CHALLENGER, version.version)


def crown(store: Store, version: ModelVersion, reason: Reason, *, expected: ModelVersion | None) -> None:
    """Make a version the champion if `expected` still is; that one keeps the alias `previous`.

    A crash in between leaves the old champion in place, or the new one without a note of how it became so; then the
    next call adds the note. Else nothing happens to who is champion already.

    Raises:
        ChampionChangedError: somebody else was quicker.
    """
    with exclusive(store, version.name):
        before = _demand(store, version.name, expected)
        reigns = list_reigns(store, version.name)
        is_champion = before is not None and before.version == version.version
        if before is not None and not is_champion:
            store.client.set_registered_model_alias(version.name, PREVIOUS, before.version)
        if not (is_champion and reigns and reigns[-1].version == str(version.version)):
            _set_champion(store, version, reason, before)
        _forget_past(store, version)


def _forget_past(store: Store, version: ModelVersion) -> None:
    """A champion is no challenger, and no longer the one that was rolled back."""
    challenger = find_alias(store, version.name, CHALLENGER)
    if challenger is not None and challenger.version == version.version:
        store.client.delete_registered_model_alias(version.name, CHALLENGER)
    if ROLLED_BACK_TAG in version.tags:
        store.client.delete_model_version_tag(version.name, version.version, ROLLED_BACK_TAG)


def dethrone(store: Store, name: str, why: str) -> Reign:
    """Back to the version with the alias `previous`; who was champion before that one gets the alias.

    Raises:
        ConvLensError: there is no champion, or none before it.
        ChampionChangedError: somebody else changed it meanwhile.
    """
    with exclusive(store, name):
        fallen, back = find_alias(store, name, CHAMPION), find_alias(store, name, PREVIOUS)
        if fallen is None or back is None or fallen.version == back.version:
            missing = CHAMPION if fallen is None else PREVIOUS
            raise ConvLensError(
                f"Expected a version of '{name}' to go back to. Received: none with the alias '{missing}'. "
                "`convlens history` lists them, `convlens promote VERSION` makes one the champion."
            )
        earlier = _champion_before(store, name, str(back.version))
        reign = _set_champion(store, back, Reason(BACK, why), fallen)
        store.client.set_model_version_tag(name, fallen.version, ROLLED_BACK_TAG, why)
        if earlier is None or earlier == str(fallen.version):
            store.client.delete_registered_model_alias(name, PREVIOUS)
        else:
            store.client.set_registered_model_alias(name, PREVIOUS, earlier)
    return reign


def _demand(store: Store, name: str, expected: ModelVersion | None) -> ModelVersion | None:
    """The champion, which must be the expected one."""
    before = find_alias(store, name, CHAMPION)
    if (before and before.version) == (expected and expected.version):
        return before
    wanted = f"version {expected.version}" if expected else "no version"
    raise ChampionChangedError(
        f"Expected {wanted} of '{name}' to be the champion still. Received: "
        f"{f'version {before.version}' if before else 'none'}; somebody else changed it meanwhile. "
        "See `convlens history`, and decide again."
    )


def _set_champion(store: Store, version: ModelVersion, reason: Reason, before: ModelVersion | None) -> Reign:
    name = version.name
    store.client.set_registered_model_alias(name, CHAMPION, version.version)
    _demand(store, name, version)  # whoever sets aliases by other means asks nobody
    last = list_reigns(store, name)
    moment = utc_now(after=last[-1].since if last else "")
    known = None if before is None or before.version == version.version else str(before.version)
    reign = Reign(str(version.version), moment, user_name(), reason.how, reason.why, known)
    value = {key: item for key, item in asdict(reign).items() if key != "version"}
    tag = f"{REIGN_TAG}{moment.replace(':', '-')}"
    store.client.set_model_version_tag(name, version.version, tag, json.dumps(value, ensure_ascii=False))
    told = f"since {show_moment(moment)}, {HOW[reason.how]} ({reign.by}): {reason.why}"
    store.client.set_model_version_tag(name, version.version, CHAMPION_TAG, told)
    return reign


def _champion_before(store: Store, name: str, version: str) -> str | None:
    """Whom a version followed when it was last made champion by itself, if that one still exists."""
    followed = [reign.before for reign in list_reigns(store, name) if reign.version == version and reign.how != BACK]
    if not followed or followed[-1] is None:
        return None
    try:
        return str(store.client.get_model_version(name, followed[-1]).version)
    except MlflowException as error:
        if error.error_code != ABSENT:
            raise
        return None


def reign_rows(reigns: list[Reign]) -> list[dict[str, Any]]:
    """The reigns with their ends, the newest first, as JSON takes them."""
    ends = [*(reign.since for reign in reigns[1:]), None]
    rows = [{**asdict(reign), "until": end} for reign, end in zip(reigns, ends, strict=False)]
    return rows[::-1]
