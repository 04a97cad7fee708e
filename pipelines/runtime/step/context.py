"""What every step is handed: settings, where runs are recorded, where files go, how progress is shown."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import polars as pl
from rich.console import Console
from rich.progress import track

from models.distributed.ranks import Ranks
from models.distributed.signals import STOP
from models.errors import ClusterError
from pipelines.runtime.config.deviations import deviations, lines, what_if
from pipelines.runtime.config.loader import dump, flatten
from pipelines.runtime.config.settings import Settings
from pipelines.runtime.files.artifacts import check_writable, file_digest, write_table
from pipelines.runtime.files.output_folder import complete, publish
from pipelines.runtime.jobs.state import JobState
from pipelines.runtime.store.tags import DIGEST_TAG, DIGESTS, DIGESTS_TAG
from pipelines.runtime.tracking import StepRun, Tracker
from pipelines.runtime.tracking.system_metrics import log_system_metrics

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Context:
    """Everything a step shares with the others.

    Attributes
    ----------
    settings : Settings
    tracker : Tracker
    parent_run_id : str, optional
        Run under which the step's run is nested.
    out : Path, optional
        Folder that receives a copy of the step's files.
    console : Console
        Where progress and notes go (standard error).
    ranks : Ranks
        The processes that the job was started with; this one is the first of them.
    state : JobState, optional
        What remembers how far the job is, for a process that goes on after an interruption.
    brief : bool
        Whether notes are left out: the answer says what matters of them.
    """

    settings: Settings
    tracker: Tracker
    console: Console
    parent_run_id: str | None = None
    out: Path | None = None
    ranks: Ranks = field(default_factory=Ranks)
    state: JobState | None = None
    brief: bool = False

    def tell(self, sentence: str) -> None:
        """Print what a user must know."""
        self.console.print(sentence, highlight=False, soft_wrap=True)

    def note(self, sentence: str) -> None:
        """Print what a user may want to know: how far the work is, and from what."""
        if not self.brief:
            self.tell(sentence)

    def progress(self, items: Iterable[T], description: str, total: int | None = None) -> Iterable[T]:
        """Iterate with a progress bar that vanishes at the end; nothing is drawn without a terminal."""
        return track(
            items,
            description=description,
            total=total,
            console=self.console,
            transient=True,
            disable=not self.console.is_terminal,
        )

    @contextmanager
    def step(self, name: str, *, upstream_run_id: str | None = None) -> Iterator[tuple[StepRun, Path]]:
        """Open the step's run and a folder; at its end the files become artifacts and are copied to `out`."""
        if self.out is not None:
            check_writable(self.out)
            complete(self.out)
        with (
            self.opened(name, upstream_run_id=upstream_run_id) as run,
            tempfile.TemporaryDirectory(prefix=f"overspill-{name}-") as temporary,
        ):
            folder = Path(temporary)
            self.log_settings(run)
            with log_system_metrics(self.tracker, run.run_id):
                try:
                    yield run, folder
                except BaseException:
                    STOP.answered()
                    raise
            head = f"# overspill {name}, run {run.run_id}\n"
            (folder / f"settings-{name}.yaml").write_text(head + dump(self.settings), encoding="utf-8")
            run.log_folder(folder)
            if self.out is not None:
                publish(folder, self.out, name=name)

    @contextmanager
    def opened(self, name: str, *, upstream_run_id: str | None = None) -> Iterator[StepRun]:
        """Open the run of a step, or again the one that an interrupted process of this job left."""
        if self.parent_run_id is None:
            for line in lines(deviations(self.settings), other="default"):
                self.note(f"not the default: {line}")
        state = self.state
        resume = None if state is None else state.open_run(name, upstream_run_id)
        with self.tracker.step(
            name,
            parent_run_id=self.parent_run_id,
            upstream_run_id=upstream_run_id,
            resume=resume,
            what_if=what_if(self.settings),
            state=None if state is None else state.folder,
        ) as run:
            if state is not None:
                state.opened(name, run.run_id, upstream_run_id)
            try:
                yield run
            except ClusterError:  # another process is gone: the next attempt goes on with this run
                raise
            except Exception:  # a failure is kept as it is; only what was interrupted goes on
                if state is not None:
                    state.closed(name)
                raise
        if state is not None:
            state.closed(name)

    def log_settings(self, run: StepRun) -> None:
        """Record the settings as parameters; one that is gone on with keeps those it was begun with."""
        known = self.tracker.client.get_run(run.run_id).data.params if self.state is not None else {}
        run.log_params({key: value for key, value in flatten(self.settings).items() if key not in known})

    def write(
        self,
        run: StepRun,
        folder: Path,
        tables: Mapping[str, pl.DataFrame],
        *,
        inputs: Mapping[str, str] | None = None,
        in_one: bool = False,
    ) -> None:
        """Write tables with their CSV twins and record each one's digest on the run.

        Parameters
        ----------
        run : StepRun
        folder : Path
        tables : mapping
        inputs : mapping, optional
            Digests of what the step read, recorded beside them.
        in_one : bool
            Record the digests in one artifact, whose own digest is a tag, instead of a tag for each.
        """
        digests = dict(inputs or {}) | {
            name: write_table(folder, name, table) for name, table in tables.items()
        }
        if not in_one:
            run.set_tags({f"{DIGEST_TAG}{name}": digest for name, digest in digests.items()})
            return
        (folder / DIGESTS).write_text(json.dumps(digests, indent=1, sort_keys=True), encoding="utf-8")
        run.set_tags({DIGESTS_TAG: file_digest(folder / DIGESTS)})
