"""Runs recorded on disk while the MLflow server is unreachable, and uploaded later."""
