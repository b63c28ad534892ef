"""What the packaged model takes and gives, in MLflow's words."""

from mlflow.models import ModelSignature
from mlflow.types import ColSpec, DataType, ParamSchema, ParamSpec, Schema


def photo_signature(classes: tuple[str, ...]) -> ModelSignature:
    """The signature of the model that takes photos.

    There is no schema for the input: MLflow's would refuse arrays, mixed lists and tables with further columns.
    Parameters that are not given are None, and the model decides as it was registered. The columns that `top_k` adds
    come after those named here.
    """
    label = ColSpec(DataType.string, "label", required=False)
    numbers = [ColSpec(DataType.double, f"probability_{name}", required=False) for name in classes]
    last = [ColSpec(DataType.boolean, "unsure", required=False), ColSpec(DataType.string, "error")]
    params = [ParamSpec("threshold", DataType.double, None), ParamSpec("top_k", DataType.long, None)]
    return ModelSignature(inputs=None, outputs=Schema([label, *numbers, *last]), params=ParamSchema(params))
