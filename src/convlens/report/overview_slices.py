"""Which photos are answered worse than the rest: part of the evaluation section."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from convlens.report.figures_slices import MAX_ROWS, plot_slices
from convlens.report.overview_page import draw
from convlens.report.wording import show_count, show_share

TITLES = {
    "brightness": "mean luminance, 0 is black and 1 white",
    "sharpness": "variance of the Laplacian; below about 50 photos are blurred",
    "size": "the photo's shorter side",
    "aspect": "width over height; square is within 5 %",
    "format": "of the file",
}


def describe_slices(slices: pd.DataFrame, metrics: Mapping[str, Any]) -> dict[str, Any]:
    """The figure, one row per slice, and the flagged ones in words; empty without slices.

    Args:
        slices: `reports/evaluation/slices.csv`.
        metrics: `reports/evaluation/metrics.json`.
    """
    if slices.empty:
        return {}
    table = slices.assign(worse=slices["worse"].astype(bool))
    flagged = [_describe_row(row) for row in table[table["worse"]].to_dict("records")]
    features = list(dict.fromkeys(table["feature"]))
    return {
        "figure": draw(plot_slices(table, float(metrics["accuracy"])), "Accuracy by kind of photo", _caption(table)),
        "rows": [_describe_row(row) for row in table.to_dict("records")],
        "flagged": flagged,
        "features": [(name, TITLES.get(name, "from labels.csv")) for name in features],
        "num_tested": int(pd.to_numeric(table["p_value"], errors="coerce").notna().sum()),
    }


def _caption(table: pd.DataFrame) -> str:
    lowest = table.to_dict("records")[int(table["accuracy"].to_numpy(float).argmin())]
    hidden = f" The first {MAX_ROWS} of {len(table)} are drawn." if len(table) > MAX_ROWS else ""
    return (
        f"Lowest: {lowest['feature']} {lowest['slice']}, {show_share(float(lowest['accuracy']))} of "
        f"{show_count(int(lowest['num_photos']), 'photo')}.{hidden}"
    )


def _describe_row(row: Mapping[Any, Any]) -> dict[str, Any]:
    p_value = pd.to_numeric(row["p_value"], errors="coerce")
    return {
        "feature": row["feature"],
        "slice": row["slice"],
        "num_photos": f"{int(row['num_photos']):,}",
        "accuracy": show_share(float(row["accuracy"])),
        "interval": f"{show_share(float(row['low']))} to {show_share(float(row['high']))}",
        "rest": show_share(float(row["rest_accuracy"])),
        "p_value": "too few photos" if pd.isna(p_value) else "< 0.001" if p_value < 0.001 else f"{p_value:.3f}",
        "worse": bool(row["worse"]),
    }
