"""Evaluation: metrics, intervals, metrics by group, SHAP values and plots."""

import os

os.environ["MPLBACKEND"] = "agg"  # matplotlib refuses that of a notebook, if it is not installed
