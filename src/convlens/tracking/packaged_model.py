"""The program inside the registered model: MLflow runs this file when it loads the model.

Like the command line it is an entry point: nothing imports it. Inside a registered model the package has a name of its
own, see `convlens.tracking.models`.
"""

from pathlib import Path
from typing import Any

import pandas as pd
from mlflow.exceptions import MlflowException
from mlflow.models import set_model
from mlflow.pyfunc import PythonModel

from convlens.environment import prepare_keras
from convlens.errors import ConvLensError

prepare_keras()  # before the classifier imports it

from convlens.models.classifier import is_served, open_classifier  # noqa: E402


class PhotoModel(PythonModel):
    """Takes photos, gives a data frame with `label`, `probability_<class>`…, `unsure`, `error`; see `PhotoClassifier`.

    The parameters are `threshold` and `top_k`, as of `PhotoClassifier.predict`.
    """

    def load_context(self, context: Any) -> None:
        """Open the files that MLflow brought along."""
        self.folder = Path(context.artifacts["network"]).parent  # with everything else that was packed
        self.classifier = open_classifier(self.folder)

    # The hint keeps MLflow from checking the input; lists, arrays, texts, bytes and mappings are welcome as well.
    def predict(
        self,
        context: Any,  # noqa: ARG002 MLflow names it
        model_input: pd.DataFrame,
        params: dict[str, Any] | None = None,
    ) -> pd.DataFrame:
        """Classify photos; input that holds none is refused, by a server with status 400."""
        try:
            answers = self.classifier.predict(model_input, **(params or {}))
        except ConvLensError as error:
            raise _refuse(str(error)) from error
        return answers.astype(object).where(answers.notna(), None) if is_served() else answers  # JSON knows no NaN


def _refuse(message: str) -> MlflowException:
    """MLflow's server puts all that it was sent before the message, photos included; its clients get ours alone."""
    refusal = MlflowException.invalid_parameter_value(message)
    refusal.json_kwargs = {"message": message}
    return refusal


set_model(PhotoModel())
