"""What the model card is made of, gathered from the files of the pipeline."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from convlens.network.model_files import FILE
from convlens.params import load_params, read_yaml
from convlens.report.model_card import CardInputs
from convlens.report.overview import ReportInputs

CARD_SUFFIXES = (".yaml", ".yml")


def gather_card(inputs: ReportInputs, model_folder: Path) -> CardInputs:
    """The inputs of the model card from those of the report."""
    return CardInputs(
        model_card=inputs.model_card,
        prepared_card=inputs.prepared_card,
        source_card=read_source_card(str(inputs.prepared_card.get("source", ""))),
        metrics=inputs.metrics,
        class_scores=inputs.class_scores,
        params=inputs.params,
        num_photos_found=len(inputs.manifest),
        model_bytes=(model_folder / FILE).stat().st_size,
        name=load_params().register_.model_name,  # a parameter of the stage in dvc.yaml; the rest of its group is not
        slices=inputs.slices,
        invariance=inputs.invariance,
    )


def read_source_card(source: str) -> Mapping[str, Any]:
    """The data-set card that `data.source` names, which `ingest` has checked; empty for a folder or an archive."""
    path = Path(source)
    if path.suffix not in CARD_SUFFIXES or not path.is_file():
        return {}
    values = read_yaml(path)
    return values if isinstance(values, dict) else {}
