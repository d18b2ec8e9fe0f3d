"""Evaluation: metrics, intervals, metrics by group, SHAP values and plots."""
