"""Names that runs carry, and the limits of MLflow's stores."""

from __future__ import annotations

import json

STEP_TAG, UPSTREAM_TAG = "overspill.step", "overspill.upstream_run_id"
KNOWN_UNTIL_TAG = "overspill.known_until"  # day of the newest publication that an etl run knew
NESTED_STEP = "assumption"  # step of the runs of single assumptions under a sensitivity run
MODEL_FOLDER = "model"  # of a run's artifacts
RUNS_VIEW = "overspill"
RUNS_TABLE = (
    f"viewStateShareKey={RUNS_VIEW}"  # of an address: the runs table with the columns that are preset
)
RUNS_COLUMNS = (
    "own met",
    "vendor met",
    "exports open",
    "units 10-50-90",
    "limit",
    "what-if",
    "data known on",
)
ANSWER_TAGS = ("chip", *RUNS_COLUMNS)  # the answer on runs of the steps `windows` and `run`
ANSWERING = ("windows", "run")
RUNS_TABLE_TAG = f"mlflow.sharedViewState.{RUNS_VIEW}"  # of the experiment: what MLflow's UI reads for it
RUNS_TABLE_STATE = json.dumps(
    {
        "orderByKey": "attributes.start_time",
        "orderByAsc": False,
        "selectedColumns": [f"tags.`{name}`" for name in RUNS_COLUMNS],
    }
)
EXPERIMENT_TAGS = {
    "mlflow.experimentKind": "custom_model_development",  # the UI opens on runs, not traces
    RUNS_TABLE_TAG: RUNS_TABLE_STATE,
}
UI_MODE = "?workflowType=machine_learning"  # MLflow 3.17 else opens a run among those of language models
METRICS_PER_CALL, PARAMS_PER_CALL = 1000, 100  # limits of MLflow's log-batch call
PARAM_LENGTH = 6000  # limit of MLflow
TAG_LENGTH = 5000  # characters that stores of all versions of MLflow keep of a tag
SPOOLED_TAG = "overspill.spooled_run_id"  # the id that a run had before the server gave it one
DIGEST_TAG = "overspill.sha256."  # before the name of a table: SHA-256 of its content
DIGESTS_TAG = "overspill.sha256"  # SHA-256 of the artifact that holds those of all tables of a run
DIGESTS = "digests.json"  # that artifact
WHAT_IF_TAG = "overspill.what_if"  # JSON: settings of data and assumptions that deviate from the defaults
DERIVED_TAG = (
    "overspill.derived_settings"  # JSON: settings that the step took from its input; also .1, .2 ...
)
ERROR_TAG = "overspill.error"  # why a run did not finish


CHAMPION, CHALLENGER = "champion", "challenger"
