"""The model registry: versions of the registered model, their aliases, and which version was champion when."""

import json
from dataclasses import asdict, dataclass
from typing import Any

from mlflow.entities import LoggedModel, Run
from mlflow.entities.model_registry import ModelVersion
from mlflow.exceptions import MlflowException

from convlens.errors import ConvLensError
from convlens.tracking.environment import show_moment, user_name, utc_now
from convlens.tracking.runs import KEY_TAG, PACKAGE_TAG
from convlens.tracking.store import Store, lock_store

# MLflow's pages show no tag that begins with `mlflow.`: these are for programs, and would hide those for people.
HIDDEN = "mlflow.convlens."
ABSENT = "RESOURCE_DOES_NOT_EXIST"
PRESENT = "RESOURCE_ALREADY_EXISTS"

# --- versions: one per training, operating point and packaged code ---

MODEL_DESCRIPTION = (
    "Classifies photos. Takes paths, bytes or base64 texts, as a list or in a column `image`; returns a data frame "
    "with `label`, a probability per class and `error`. Its alias `champion` is the version to use; `previous` is the "
    "one before it, `challenger` the newest that has not become champion."
)


def ensure_version(store: Store, name: str, run: Run, model: LoggedModel, description: str) -> ModelVersion:
    """Return the version of a training's model, registered if it is not yet.

    Args:
        store: where the registry is.
        name: of the registered model.
        run: the training's run; its tag is the key.
        model: the packaged model of the run.
        description: Markdown about the version; replaces what an earlier call wrote.
    """
    key, package = run.data.tags[KEY_TAG], model.tags[PACKAGE_TAG]
    client = store.client
    with lock_store(store.uri):
        _ensure_registered_model(store, name)
        found = find_version(store, name, key, package)
        if found is None:
            tags = {KEY_TAG: key, PACKAGE_TAG: package}
            source = f"models:/{model.model_id}"
            return client.create_model_version(
                name, source, run_id=run.info.run_id, tags=tags, description=description, model_id=model.model_id
            )
        if found.description != description:  # the model card may have been made again
            client.update_model_version(name, found.version, description)
            found = client.get_model_version(name, found.version)
        return found


def find_version(store: Store, name: str, key: str, package: str) -> ModelVersion | None:
    """Return the version of a training key and package, aliases and tags included; None if there is none."""
    found = store.client.search_model_versions(f"name = {_quote(name)} and tags.`{KEY_TAG}` = '{key}'")
    versions = sorted(int(version.version) for version in found if version.tags.get(PACKAGE_TAG, "") == package)
    return store.client.get_model_version(name, str(versions[0])) if versions else None


def list_versions(store: Store, name: str) -> list[ModelVersion]:
    """Return all versions of a model, tags included, the oldest first."""
    found, token = list[ModelVersion](), None
    while True:
        page = store.client.search_model_versions(f"name = {_quote(name)}", page_token=token)
        found, token = [*found, *page], page.token
        if not token:
            return sorted(found, key=lambda version: int(version.version))


def _ensure_registered_model(store: Store, name: str) -> None:
    try:
        store.client.create_registered_model(name, description=MODEL_DESCRIPTION)
    except MlflowException as error:
        if error.error_code != PRESENT:
            raise


def _quote(name: str) -> str:
    return '"' + name + '"' if "'" in name else f"'{name}'"


# --- aliases: which version is champion, challenger, previous ---

CHALLENGER, CHAMPION, PREVIOUS = "challenger", "champion", "previous"


def find_alias(store: Store, name: str, alias: str) -> ModelVersion | None:
    """Return the version an alias points at; None if there is no such model or alias."""
    try:
        version: ModelVersion = store.client.get_model_version_by_alias(name, alias)
    except MlflowException as error:
        if error.error_code in (ABSENT, "INVALID_PARAMETER_VALUE"):  # no model; no alias
            return None
        raise
    return version


def challenge(store: Store, version: ModelVersion) -> None:
    """Make a version the challenger, unless it is the champion."""
    champion = find_alias(store, version.name, CHAMPION)
    if champion is None or champion.version != version.version:
        _set_alias(store, version.name, CHALLENGER, version.version)


def _set_alias(store: Store, name: str, alias: str, version: str) -> None:
    """Set an alias; again where MLflow refuses because another client creates the same one at this moment."""
    try:
        store.client.set_registered_model_alias(name, alias, version)
    except MlflowException as error:
        if "IntegrityError" not in str(error):
            raise
        store.client.set_registered_model_alias(name, alias, version)  # it exists now


# --- the champion: the alias says which version it is, a tag per change which ones it was, and why ---
#
# MLflow moves an alias without asking where it points. So the champion is read before and after it is changed, and the
# change is noted between two more looks: of two processes that promote at once the later one stays champion, and the
# other one takes its note back. A local database is locked besides, so there the second one waits.

PERIOD_TAG = f"{HIDDEN}champion."  # and the moment; the value is JSON
CHAMPION_TAG = "convlens.champion"  # the latest of them in words
ROLLED_BACK_TAG = "convlens.rolled_back"
GATE, PROMOTED, FORCED, BACK = "gate", "promote", "force", "rollback"
HOW = {GATE: "by the gate", PROMOTED: "promoted", FORCED: "promoted by force", BACK: "rolled back to"}


class ChampionChangedError(ConvLensError):
    """Somebody else changed the champion between the decision and the change."""


@dataclass(frozen=True)
class AliasPeriod:
    """A time in which a version had the alias `champion`; it ends where the next one begins.

    Attributes:
        version: that became champion.
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


def list_alias_periods(store: Store, name: str) -> list[AliasPeriod]:
    """Return all changes of champion, the oldest first."""
    found = [
        AliasPeriod(version=str(version.version), **json.loads(value))
        for version in list_versions(store, name)
        for tag, value in version.tags.items()
        if tag.startswith(PERIOD_TAG)
    ]
    return sorted(found, key=lambda period: period.since)


def alias_period_rows(periods: list[AliasPeriod]) -> list[dict[str, Any]]:
    """Return the periods with their ends, the newest first, as JSON takes them."""
    ends = [*(period.since for period in periods[1:]), None]
    rows = [{**asdict(period), "until": end} for period, end in zip(periods, ends, strict=False)]
    return rows[::-1]


def set_champion(store: Store, version: ModelVersion, how: str, why: str, *, expected: ModelVersion | None) -> None:
    """Make a version the champion if `expected` still is; that one gets the alias `previous`.

    A version that is champion already stays it; where a crash kept that from being noted, it is noted now.

    Raises:
        ChampionChangedError: somebody else was quicker.
    """
    name, client = version.name, store.client
    with lock_store(store.uri, "aliases"):
        periods = list_alias_periods(store, name)
        before = _require_champion(store, name, expected)
        if before is None or before.version != version.version:
            if before is not None:
                _set_alias(store, name, PREVIOUS, before.version)
            _set_champion(store, version, how, why, before=before, known=periods)
        elif not periods or periods[-1].version != str(version.version):
            _set_champion(store, version, how, why, before=None, known=periods)
        challenger = find_alias(store, name, CHALLENGER)
        if challenger is not None and challenger.version == version.version:
            client.delete_registered_model_alias(name, CHALLENGER)
        if ROLLED_BACK_TAG in version.tags:
            client.delete_model_version_tag(name, version.version, ROLLED_BACK_TAG)


def demote(store: Store, name: str, why: str) -> AliasPeriod:
    """Replace the champion by the version with the alias `previous`; that alias goes to the champion before that one.

    Raises:
        ConvLensError: there is no champion, or none before it.
        ChampionChangedError: somebody else changed it meanwhile.
    """
    with lock_store(store.uri, "aliases"):
        periods = list_alias_periods(store, name)
        demoted, back = find_alias(store, name, CHAMPION), find_alias(store, name, PREVIOUS)
        if demoted is None or back is None or demoted.version == back.version:
            missing = CHAMPION if demoted is None else PREVIOUS
            raise ConvLensError(
                f"Expected a version of '{name}' to go back to. Received: none with the alias '{missing}'. "
                "`convlens history` lists them, `convlens promote VERSION` makes one the champion."
            )
        # What the version followed when it last became champion by itself, if that one still exists.
        followed = [item.before for item in periods if item.version == str(back.version) and item.how != BACK]
        existing = {str(version.version) for version in list_versions(store, name)} - {str(demoted.version)}
        period = _set_champion(store, back, BACK, why, before=demoted, known=periods)
        store.client.set_model_version_tag(name, demoted.version, ROLLED_BACK_TAG, why)
        if followed and followed[-1] in existing:
            _set_alias(store, name, PREVIOUS, followed[-1])
        else:
            store.client.delete_registered_model_alias(name, PREVIOUS)
    return period


def _require_champion(store: Store, name: str, expected: ModelVersion | None) -> ModelVersion | None:
    """Return the champion, which must be the expected one."""
    champion = find_alias(store, name, CHAMPION)
    if (champion and champion.version) == (expected and expected.version):
        return champion
    wanted = f"version {expected.version}" if expected else "no version"
    raise ChampionChangedError(
        f"Expected {wanted} of '{name}' to be the champion still. Received: "
        f"{f'version {champion.version}' if champion else 'none'}; somebody else changed it meanwhile. "
        "See `convlens history`, and decide again."
    )


def _set_champion(
    store: Store, version: ModelVersion, how: str, why: str, *, before: ModelVersion | None, known: list[AliasPeriod]
) -> AliasPeriod:
    """Move the alias and note it; `known` are the periods as they were when `before` was found to be champion."""
    name, client = version.name, store.client
    _set_alias(store, name, CHAMPION, version.version)
    _require_champion(store, name, version)
    periods = list_alias_periods(store, name)
    last = None if before is None else str(before.version)
    if len(periods) > len(known) and periods[-1].version != str(version.version):  # one that came in between
        last = periods[-1].version
        _set_alias(store, name, PREVIOUS, last)
    moment = utc_now(after=periods[-1].since if periods else "")
    period = AliasPeriod(str(version.version), moment, user_name(), how, why, last)
    value = {key: item for key, item in asdict(period).items() if key != "version"}
    tag = f"{PERIOD_TAG}{moment.replace(':', '-')}"
    client.set_model_version_tag(name, version.version, tag, json.dumps(value, ensure_ascii=False))
    try:
        _require_champion(store, name, version)
    except ChampionChangedError:
        client.delete_model_version_tag(name, version.version, tag)
        raise
    told = f"since {show_moment(moment)}, {HOW[how]} ({period.by}): {why}"
    client.set_model_version_tag(name, version.version, CHAMPION_TAG, told)
    return period
