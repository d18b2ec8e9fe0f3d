"""Train, track, sweep, evaluate, promote, score and serve XGBoost models of a table."""
