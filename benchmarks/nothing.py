"""A model that does nothing: what MLflow's server itself costs for our signature."""

import mlflow
import pandas as pd

ANSWER = pd.DataFrame({"income": ["<=50K"], "probability": [0.5]})


class Nothing(mlflow.pyfunc.PythonModel):
    """Answers the same row whatever it is asked."""

    def predict(self, model_input, params=None):
        """Return a table made at import."""
        return ANSWER


mlflow.models.set_model(Nothing())
