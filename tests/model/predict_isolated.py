"""Loads a logged model in a process without the project, and predicts the rows of a file.

python -I predict_isolated.py <model address> <Parquet file of rows> <Parquet file to write>
"""

import sys

import mlflow
import pandas as pd

address, rows, output = sys.argv[1:]
model = mlflow.pyfunc.load_model(address)
assert "tabular" not in sys.modules
model.predict(pd.read_parquet(rows), params={"threshold": 0.3}).to_parquet(output)
