"""A model that returns a constant, to measure what MLflow's server costs with this signature."""

from functools import cache

import mlflow
import pandas as pd


@cache
def predictions(n_rows: int) -> pd.DataFrame:
    """Constant predictions for a number of rows, made once for each number."""
    return pd.DataFrame({"income": ["<=50K"] * n_rows, "probability": [0.5] * n_rows})


class Constant(mlflow.pyfunc.PythonModel):
    """Predicts a constant."""

    def predict(self, model_input, params=None):
        """Return a table that was made before."""
        return predictions(len(model_input))


mlflow.models.set_model(Constant())
