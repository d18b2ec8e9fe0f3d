"""The MLflow store: runs, logged models, registered models."""
