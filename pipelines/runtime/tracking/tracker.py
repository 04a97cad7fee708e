"""A tracking store and an experiment in it: steps open their runs here, and find those of other steps."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from importlib.metadata import version
from pathlib import Path

from mlflow.entities import Run
from mlflow.exceptions import MlflowException
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID
from sqlalchemy.exc import SQLAlchemyError

from forecasting.errors import InputError, StepError
from pipelines.runtime.spool.client import SpooledClient
from pipelines.runtime.spool.delivery import Spooling
from pipelines.runtime.spool.sender import reopen_run
from pipelines.runtime.store.address import LAYOUT, absolute, one_at_a_time, without_secrets
from pipelines.runtime.store.artifact_root import ROOT_TAG, artifact_root
from pipelines.runtime.store.tags import (
    ANSWER_TAGS,
    ANSWERING,
    DIGEST_TAG,
    ERROR_TAG,
    EXPERIMENT_TAGS,
    NESTED_STEP,
    STEP_TAG,
    UPSTREAM_TAG,
    WHAT_IF_TAG,
)
from pipelines.runtime.tracking.monitor import LoadMonitor
from pipelines.runtime.tracking.process import PROCESS_TAG, STATE_TAG, this_process
from pipelines.runtime.tracking.run_names import listed, what_if_of, what_if_text
from pipelines.runtime.tracking.step_run import StepRun
from pipelines.runtime.tracking.store import Store

PREFIX = re.compile(r"[0-9a-f]{1,31}")  # of a run's id, which has 32 such characters
CANDIDATES = 5  # runs that a message lists


class Tracker(Store):
    """A tracking store and an experiment in it; see `Store`.

    Raises
    ------
    StepError
        If the store does not answer or cannot be opened.
    """

    def __init__(self, uri: str, experiment: str, *, spooling: Spooling | None = None) -> None:
        super().__init__(uri, experiment=experiment, spooling=spooling)
        with self.translated(), one_at_a_time(uri, LAYOUT):
            self.experiment_id = self._experiment_id()

    def _experiment_id(self) -> str:
        if isinstance(self.client, SpooledClient) and self.client.away:
            return self.client.experiment_id()
        found = self.client.get_experiment_by_name(self.experiment)
        if found is not None:
            if found.lifecycle_stage != "active":
                raise InputError(
                    "the experiment was deleted",
                    expected="an active one",
                    found=self.experiment,
                    where=self.shown,
                )
            return str(found.experiment_id)
        root = artifact_root(self.uri)
        tags = EXPERIMENT_TAGS if root is None else EXPERIMENT_TAGS | {ROOT_TAG: root}
        try:
            return str(self.client.create_experiment(self.experiment, artifact_location=root, tags=tags))
        except MlflowException:  # another process was quicker
            again = self.client.get_experiment_by_name(self.experiment)
            if again is None:
                raise
            return str(again.experiment_id)

    @contextmanager
    def step(
        self,
        name: str,
        *,
        parent_run_id: str | None = None,
        upstream_run_id: str | None = None,
        resume: str | None = None,
        what_if: Mapping[str, str] | None = None,
        state: Path | None = None,
    ) -> Iterator[StepRun]:
        """Open one step's run.

        It ends FINISHED; FAILED with the reason in the tag `overspill.error` where an error ends it; KILLED
        with the reason where its process is told to stop.

        Parameters
        ----------
        name : str
        parent_run_id, upstream_run_id : str, optional
            Run under which it is nested, and run that it reads from.
        resume : str, optional
            The run of an earlier process that was interrupted: it is opened again. Where the store has no
            such run, or it has finished, a new one is made.
        what_if : mapping, optional
            Settings of data and assumptions that deviate from the defaults. With those of the run that it
            reads from they become a tag and a part of its name.
        state : Path, optional
            Folder from which the job goes on after an interruption: while it is there, the run stays open.

        Raises
        ------
        InputError
            If the run to resume is of another step.
        """
        with self.translated():
            run_id = None if resume is None else self._resumed(resume, name)
            if run_id is None:
                tags = self._tags(name, parent=parent_run_id, upstream=upstream_run_id)
                if state is not None:
                    tags[STATE_TAG] = str(state.resolve())
                deviating = self._inherited(upstream_run_id) | dict(what_if or {})
                if deviating:
                    tags[WHAT_IF_TAG] = json.dumps(deviating, sort_keys=True)
                run_name = f"{name} (what-if: {what_if_text(deviating)})" if deviating else name
                run_id = self.client.create_run(self.experiment_id, tags=tags, run_name=run_name).info.run_id
            opened = StepRun(client=self.client, run_id=run_id, name=name)
            try:
                yield opened
            except BaseException as error:
                status = "FAILED" if isinstance(error, Exception) else "KILLED"
                self._end(opened, status, f"{type(error).__name__}: {error}")
                raise
            self._end(opened, "FINISHED", None)

    def _tags(self, name: str, *, parent: str | None, upstream: str | None) -> dict[str, str]:
        # MLflow shows tags in the order in which they were first set: what matters comes first.
        tags = dict.fromkeys(ANSWER_TAGS, "pending") if name in ANSWERING else {}
        tags |= {STEP_TAG: name, "overspill.version": version("overspill"), PROCESS_TAG: this_process()}
        if parent is not None:
            tags[MLFLOW_PARENT_RUN_ID] = self.known_as(parent)
        if upstream is not None:
            tags[UPSTREAM_TAG] = self.known_as(upstream)
        return tags

    def _inherited(self, upstream: str | None) -> dict[str, str]:
        """Deviations of the run that is read from."""
        run = None
        if upstream is not None:
            with suppress(StepError):  # the server is away, and the run is of another process
                run = self.found(lambda: self.client.get_run(self.known_as(upstream)))
        return {} if run is None else what_if_of(run)

    def _resumed(self, run_id: str, step: str) -> str | None:
        """Open an interrupted run again; None where there is none, or it has finished after all."""
        run = self.found(lambda: self.client.get_run(self.known_as(run_id)))
        if run is None:
            return None
        self._check_step(run, step)
        if run.info.status == "FINISHED":  # the process was interrupted before it could take note of that
            return None
        if isinstance(self.client, SpooledClient):
            self.client.reopen_run(run, without=ERROR_TAG)
        else:
            reopen_run(self.client, run.info.run_id, without=ERROR_TAG)
        self.client.set_tag(run.info.run_id, PROCESS_TAG, this_process())
        return str(run.info.run_id)

    def _end(self, run: StepRun, status: str, reason: str | None) -> None:
        try:
            if reason is not None:
                shown = without_secrets(reason, self.uri)
                self.client.set_tag(run.run_id, ERROR_TAG, shown[:5000])
            self.client.set_terminated(run.run_id, status)
        except (MlflowException, StepError):
            if status == "FINISHED":
                raise  # a failure's own error matters more than that it could not be recorded

    def finished(self, run_id: str, step: str) -> Run:
        """The run of a finished step, also by the id that it had while the server was away.

        Parameters
        ----------
        run_id : str
            The id, or as many of its first characters as tell it apart.
        step : str

        Raises
        ------
        InputError
            If there is no such run, several begin like this, it is the run of another step, or it did not
            finish.
        """
        if PREFIX.fullmatch(run_id):
            run = self._by_prefix(run_id, step)
        else:
            run = self.found(lambda: self.client.get_run(self.known_as(run_id)))
        if run is None:
            newest = self.runs(step=step, finished=True, limit=CANDIDATES)
            raise InputError(
                "no such run",
                expected=f"a run id of the step {step}{listed(newest)}",
                found=repr(run_id),
                where=self.shown,
            )
        self._check_step(run, step)
        if run.info.status != "FINISHED":
            raise InputError(
                "the run did not finish", expected="FINISHED", found=run.info.status, where=f"run {run_id}"
            )
        return run

    def _by_prefix(self, prefix: str, step: str) -> Run | None:
        """The only run, or the only one of a step, whose id begins with these characters."""
        with self.translated():
            found = list(
                self.client.search_runs(
                    [self.experiment_id],
                    filter_string=f"attributes.run_id LIKE '{prefix}%'",
                    order_by=["attributes.start_time DESC"],
                    max_results=1000,
                )
            )
        of_step = [run for run in found if run.data.tags.get(STEP_TAG) == step]
        if len(of_step) > 1:
            raise InputError(
                "several runs begin with these characters",
                expected=f"one run of the step {step}{listed(of_step[:CANDIDATES])}",
                found=repr(prefix),
                where=self.shown,
            )
        if not found:  # where the server is away, this says so
            return self.found(lambda: self.client.get_run(prefix))
        return of_step[0] if of_step else found[0]

    def _check_step(self, run: Run, step: str) -> None:
        found = run.data.tags.get(STEP_TAG, "no step of overspill")
        if found != step:
            raise InputError(
                "the run is of another step", expected=step, found=found, where=f"run {run.info.run_id}"
            )

    def newest_or_none(self, step: str) -> str | None:
        """Id of the newest finished run of a step, None if there is none."""
        found = self.runs(step=step, finished=True, limit=1)
        return str(found[0].info.run_id) if found else None

    def runs(
        self, *, step: str | None = None, finished: bool = False, nested: bool = True, limit: int = 20
    ) -> list[Run]:
        """Runs of the experiment's steps, newest first; those of single assumptions only where `nested`."""
        conditions = [f"tags.`{STEP_TAG}` = '{step}'" if step else f"tags.`{STEP_TAG}` != ''"]
        conditions += ["attributes.status = 'FINISHED'"] if finished else []
        conditions += [] if step or nested else [f"tags.`{STEP_TAG}` != '{NESTED_STEP}'"]
        with self.translated():
            return list(
                self.client.search_runs(
                    [self.experiment_id],
                    filter_string=" and ".join(conditions),
                    order_by=["attributes.start_time DESC"],
                    max_results=limit,
                )
            )

    def system_monitor(self, run_id: str, seconds: float) -> LoadMonitor:
        """Sampler of the machine's load that logs to a run; not started."""
        return LoadMonitor(self.client, run_id, seconds=seconds, uri=absolute(self.uri))

    def finish_monitor(self, monitor: LoadMonitor) -> None:
        """Stop a sampler and log the samples it still holds; a store that is down is reported by the step."""
        monitor.finish()
        left = monitor.aggregate_metrics()
        if left:
            with suppress(MlflowException, SQLAlchemyError, StepError):
                monitor.publish_metrics(left)

    def newest(self, step: str) -> str:
        """Id of the newest finished run of a step.

        Raises
        ------
        InputError
            If there is none.
        """
        newest = self.newest_or_none(step)
        if newest is None:
            raise InputError(
                f"there is no finished {step} run",
                expected=f"`overspill {step}` first, or --{step}-run ID",
                where=f"{self.shown}, experiment {self.experiment}",
            )
        return newest

    def newest_of_content(self, step: str, name: str, digest: str) -> str | None:
        """Id of the newest finished run of a step that read the table with this SHA-256; None without one."""
        with self.translated():
            runs = self.client.search_runs(
                [self.experiment_id],
                filter_string=f"tags.`{STEP_TAG}` = '{step}' and tags.`{DIGEST_TAG}{name}` = '{digest}' "
                "and attributes.status = 'FINISHED'",
                order_by=["attributes.start_time DESC"],
                max_results=1,
            )
        return str(runs[0].info.run_id) if runs else None
