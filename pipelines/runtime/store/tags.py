"""Names that runs carry, and the limits of MLflow's stores."""

from __future__ import annotations

STEP_TAG, UPSTREAM_TAG = "overspill.step", "overspill.upstream_run_id"
KNOWN_UNTIL_TAG = "overspill.known_until"  # day of the newest publication that an etl run knew
NESTED_STEP = "assumption"  # step of the runs of single assumptions under a sensitivity run
MODEL_FOLDER = "model"  # of a run's artifacts
EXPERIMENT_TAGS = {"mlflow.experimentKind": "custom_model_development"}  # the UI opens on runs, not traces
UI_MODE = "?workflowType=machine_learning"  # MLflow 3.17 else opens a run among those of language models
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # limits of MLflow's log-batch call
PARAM_LENGTH = 6000  # limit of MLflow
TAG_LENGTH = 5000  # characters that stores of all versions of MLflow keep of a tag
SPOOLED_TAG = "overspill.spooled_run_id"  # the id that a run had before the server gave it one
DIGEST_TAG = "overspill.sha256."  # before the name of a table: SHA-256 of its content
WHAT_IF_TAG = "overspill.what_if"  # JSON: settings of data and assumptions that deviate from the defaults
DERIVED_TAG = (
    "overspill.derived_settings"  # JSON: settings that the step took from its input; also .1, .2 ...
)
ERROR_TAG = "overspill.error"  # why a run did not finish


CHAMPION, CHALLENGER = "champion", "challenger"
