"""The store is tried and left as it was; weights that would not load and old data are reported."""

import datetime as dt
import sqlite3

from models.inference.checkpoint import WEIGHTS
from pipelines.doctor import stored
from pipelines.doctor.findings import ok
from pipelines.runtime.registry.promotion import Verdict
from pipelines.runtime.registry.registry import Registry
from pipelines.runtime.registry.weights import TRAINED_UNTIL
from pipelines.runtime.spool.outbox import Outbox
from pipelines.runtime.tracking import KNOWN_UNTIL_TAG, probe

VERDICT = Verdict(incumbent="none", candidate_score=0.5, incumbent_score=1.0)


def by_check(findings):
    return {each.check: each for each in findings}


def test_a_store_that_does_not_exist_yet_is_not_made(settings_on, tmp_path):
    found = by_check(stored.check_stored(settings_on(), tmp_path))
    assert {each.status for each in found.values()} == {"ok"}
    assert "does not exist yet" in found["tracking store"].found
    assert found["weights"].found.startswith("pretrained")
    assert not list(tmp_path.iterdir())


def test_a_store_where_nothing_can_be_made_fails(settings_on, tmp_path):
    found = by_check(stored.check_stored(settings_on("sqlite:////dev/null/mlflow.db"), tmp_path))
    assert found["tracking store"].status == "fail"
    assert "/dev/null cannot be written" in found["tracking store"].found
    assert found["weights"].status == "ok"


def test_a_store_that_is_no_database_fails_in_one_sentence(settings_on, tmp_path):
    (tmp_path / "mlflow.db").write_bytes(b"not a database" * 100)
    found = by_check(stored.check_stored(settings_on(f"sqlite:///{tmp_path}/mlflow.db"), tmp_path))
    assert found["tracking store"].status == "fail"
    assert "\n" not in found["tracking store"].found


def test_a_store_is_found_writable_and_left_unchanged(own_tracker, settings_on, tmp_path):
    with own_tracker.step("etl") as run:
        run.set_tags({KNOWN_UNTIL_TAG: str(dt.datetime.now(dt.UTC).date())})
    file = tmp_path / "store" / "mlflow.db"
    before = file.read_bytes()
    found = by_check(stored.check_stored(settings_on(own_tracker.uri), tmp_path))
    assert {each.status for each in found.values()} == {"ok"}
    assert "locked for writing and let go" in found["tracking store"].found
    assert "newest etl run today" in found["data"].found
    assert file.read_bytes() == before


def test_a_store_that_another_process_holds_fails(own_tracker, settings_on, tmp_path, monkeypatch):
    monkeypatch.setattr(probe, "BUSY_SECONDS", 0.1)
    holder = sqlite3.connect(tmp_path / "store" / "mlflow.db", isolation_level=None)
    try:
        holder.execute("BEGIN IMMEDIATE")
        found = by_check(stored.check_stored(settings_on(own_tracker.uri), tmp_path))
    finally:
        holder.close()
    assert found["tracking store"].status == "fail"
    assert "database is locked" in found["tracking store"].found


def registered(tracker, checkpoint):
    registry = Registry(tracker)
    with tracker.step("train") as run:
        version = registry.register(run, checkpoint, {TRAINED_UNTIL: "2026-01-01"})
    registry.settle(version, lambda _: VERDICT)
    return version


def test_the_champion_is_told_and_a_broken_one_fails(
    own_tracker, settings_on, tiny_checkpoint, tmp_path, monkeypatch
):
    version = registered(own_tracker, tiny_checkpoint)
    settings = settings_on(own_tracker.uri)
    found = by_check(stored.check_stored(settings, tmp_path))
    assert found["weights"].found.startswith("overspill version 1 (champion), loads")
    for weights in (tmp_path / "store").rglob(WEIGHTS):
        weights.write_bytes(weights.read_bytes()[:100])
    broken = by_check(stored.check_stored(settings, tmp_path))["weights"]
    assert broken.status == "fail"
    assert f"{version.label} cannot be used" in broken.found
    assert "train another" in broken.advice


def test_no_weights_are_needed_for_the_statistical_forecaster(settings_on):
    found = stored.check_weights(settings_on(None, "forecast.model=statistical"), None)
    assert found == ok("weights", "not needed: forecast.model is statistical")


def test_a_folder_of_weights_that_is_not_there_fails(settings_on):
    found = stored.check_weights(settings_on(None, "forecast.checkpoint=nowhere"), None)
    assert found.status == "fail"


def test_old_data_warn(settings_on, own_tracker):
    with own_tracker.step("etl") as run:
        run.set_tags({KNOWN_UNTIL_TAG: "2024-01-31"})
    found = stored.check_data(settings_on(own_tracker.uri), own_tracker)
    assert found.status == "warn"
    assert "its newest publication is of 2024-01-31" in found.found


def test_order_lines_that_are_not_there_fail(settings_on, tmp_path):
    settings = settings_on(None, "data=order_book", f"data.path={tmp_path}/orders.csv")
    found = stored.check_data(settings, None)
    assert found.status == "fail"
    assert "orders.csv: the file cannot be read" in found.found


def test_a_server_that_is_away_is_a_warning_where_jobs_may_work_without_it(settings_on, tmp_path):
    settings = settings_on("http://127.0.0.1:9", "tracking.when_away=spool")
    found = by_check(stored.check_stored(settings, tmp_path))
    assert found["tracking store"].status == "warn"
    assert "`overspill sync` sends them" in found["tracking store"].advice
    assert found["waiting runs"].status == found["weights"].status == "ok"
    refused = by_check(stored.check_stored(settings_on("http://127.0.0.1:9"), tmp_path))
    assert refused["tracking store"].status == "fail"


def test_runs_that_wait_for_their_server_are_told(tmp_path):
    assert stored.check_waiting(tmp_path).status == "ok"
    outbox = Outbox.begin(tmp_path, {"uri": "http://127.0.0.1:9"})
    found = stored.check_waiting(tmp_path)
    outbox.close()
    assert found.status == "warn"
    assert found.found == f"those of 1 job in {tmp_path}"
