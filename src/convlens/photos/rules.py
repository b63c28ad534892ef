"""What photos must be like: each limit of the group `validate` as a rule in plain values, and the tables they judge."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from convlens.params import ValidateParams

JUDGED_COLUMNS = ["path", "label", "sha256", "format", "width", "height", "decodes", "usable", "cause", "brightness",
                  "sharpness"]  # fmt: skip


@dataclass(frozen=True)
class Rule:
    """An expectation with what a person needs to act on it.

    Attributes:
        name: as `validate.critical` names it.
        title: what is expected, in words.
        expected: the same in few words, for a table.
        parameter: the parameter of `params.yaml` that sets the limit.
        kind: name of the Great Expectations class, and `settings` its arguments.
        table: whether it judges photos or classes.
    """

    name: str
    title: str
    expected: str
    parameter: str
    kind: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    table: Literal["photos", "classes"] = "photos"


def build_rules(limits: ValidateParams) -> list[Rule]:
    """The suite, in the order in which a person should read it."""
    return [*_rules_of_the_whole(limits), *_rules_of_files(limits), *_rules_of_pictures(limits)]


def _rules_of_the_whole(limits: ValidateParams) -> list[Rule]:
    return [
        _share("unreadable", "decodes", limits.max_unreadable_fraction, "of the photos can be decoded",
               "validate.max_unreadable_fraction"),
        _share("quarantined", "usable", limits.max_quarantined_fraction, "of the photos are usable",
               "validate.max_quarantined_fraction"),
        _between("photos_per_class", f"at least {limits.min_photos_per_class} usable photos in every class",
                 f"at least {limits.min_photos_per_class}", "validate.min_photos_per_class",
                 {"column": "num_usable", "min_value": limits.min_photos_per_class}, table="classes"),
        _between("class_balance",
                 f"the largest class has at most {limits.max_class_ratio:g} times the photos of any other",
                 f"at most {limits.max_class_ratio:g} times", "validate.max_class_ratio",
                 {"column": "times_smaller", "max_value": limits.max_class_ratio}, table="classes"),
    ]  # fmt: skip


def _rules_of_files(limits: ValidateParams) -> list[Rule]:
    formats = ", ".join(limits.formats)
    return [
        Rule("unique_paths", "no path twice", "none twice", "data.source", "ExpectColumnValuesToBeUnique",
             {"column": "path"}),
        Rule("formats", f"formats are {formats}", formats, "validate.formats", "ExpectColumnValuesToBeInSet",
             {"column": "format", "value_set": list(limits.formats)}),
        _share("duplicated", "is_first", limits.max_duplicated_fraction, "of the photos are no copy of another one",
               "validate.max_duplicated_fraction"),
        Rule("two_labels", "no photo under two labels (by digest)", "none", "data.source",
             "ExpectColumnValuesToBeInSet", {"column": "has_one_label", "value_set": [True]}),
    ]  # fmt: skip


def _rules_of_pictures(limits: ValidateParams) -> list[Rule]:
    dark, blurred = f"{limits.dark_brightness:g}", f"{limits.blurred_sharpness:g}"
    return [
        _between("min_side", f"the shorter side has at least {limits.min_side} pixels",
                 f"at least {limits.min_side} pixels", "validate.min_side",
                 {"column": "shorter_side", "min_value": limits.min_side}),
        _between("aspect", f"the longer side is at most {limits.max_aspect:g} times the shorter",
                 f"at most {limits.max_aspect:g} : 1", "validate.max_aspect",
                 {"column": "elongation", "max_value": limits.max_aspect}),
        _between("dark", f"at most {limits.max_dark_fraction:.0%} of the photos are darker than {dark}",
                 f"at most {limits.max_dark_fraction:.0%} below {dark}", "validate.max_dark_fraction",
                 {"column": "brightness", "min_value": limits.dark_brightness, "mostly": 1 - limits.max_dark_fraction}),
        _between("blurred", f"at most {limits.max_blurred_fraction:.0%} of the photos have a sharpness below {blurred}",
                 f"at most {limits.max_blurred_fraction:.0%} below {blurred}", "validate.max_blurred_fraction",
                 {"column": "sharpness", "min_value": limits.blurred_sharpness,
                  "mostly": 1 - limits.max_blurred_fraction}),
    ]  # fmt: skip


def _share(name: str, column: str, allowed: float, what: str, parameter: str) -> Rule:
    """At most the share `allowed` of the photos may be false in a column of truths."""
    return Rule(name, f"at least {1 - allowed:.0%} {what}", f"at most {allowed:.0%} not", parameter,
                "ExpectColumnValuesToBeInSet",
                {"column": column, "value_set": [True], "mostly": 1 - allowed})  # fmt: skip


def _between(name: str, title: str, expected: str, parameter: str, settings: Mapping[str, Any],
             *, table: Literal["photos", "classes"] = "photos") -> Rule:  # fmt: skip
    return Rule(name, title, expected, parameter, "ExpectColumnValuesToBeBetween", settings, table)


def flatten_photos(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per photo with the columns that rules name; what is not known of a photo is missing, not zero."""
    table = manifest[JUDGED_COLUMNS].copy()
    sides = manifest[["width", "height"]]
    known = manifest["decodes"]
    table["shorter_side"] = sides.min(axis=1).where(known)
    table["elongation"] = (sides.max(axis=1) / sides.min(axis=1).clip(lower=1)).where(known)
    for name in ("brightness", "sharpness", "format"):
        table[name] = manifest[name].where(known)
    table["is_first"] = manifest["cause"] != "duplicate"
    table["has_one_label"] = manifest["cause"] != "two_labels"
    return table.drop(columns="cause")


def count_classes(manifest: pd.DataFrame) -> pd.DataFrame:
    """One row per class: `path` (the class, as the index of failures), `num_usable`, `times_smaller`."""
    usable = manifest.groupby("label")["usable"].sum().astype(int)
    return pd.DataFrame(
        {
            "path": usable.index.astype(str),
            "num_usable": usable.to_numpy(),
            "times_smaller": usable.max() / np.maximum(usable.to_numpy(), 1),
        }
    )
