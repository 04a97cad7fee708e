"""`overspill schedule`: the whole cycle at fixed times, by the cluster's own scheduler."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.terminal.console import print_json, report_errors, resolved_settings, stdout
from pipelines.cli.terminal.options import Json

if TYPE_CHECKING:
    from pipelines.runtime.schedule.chain import Plan

app = typer.Typer(
    help="Run the whole cycle at fixed times on a cluster.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
Name = Annotated[str, typer.Option("--name", help="Name of the schedule and of its jobs.")]


def register(parent: typer.Typer) -> None:
    """Add the commands."""
    parent.add_typer(app, name="schedule")


@app.command()
def slurm(
    *,
    every: Annotated[str, typer.Option("--every", help="Time from slot to slot: 30m, 6h, 1d, 1w.")],
    at: Annotated[
        str | None, typer.Option("--at", help="Time of day of the first slot, HH:MM; default: now.")
    ] = None,
    name: Name = "overspill",
    nodes: Annotated[int | None, typer.Option("--nodes", min=1, help="Nodes per job.")] = None,
    tasks_per_node: Annotated[
        int | None, typer.Option("--tasks-per-node", min=1, help="Processes per node.")
    ] = None,
    gpus_per_node: Annotated[
        str | None,
        typer.Option("--gpus-per-node", help="GPUs per node, N or type:N; one process for each."),
    ] = None,
    partition: Annotated[str | None, typer.Option("--partition", help="Partition.")] = None,
    account: Annotated[str | None, typer.Option("--account", help="Account that is charged.")] = None,
    time: Annotated[
        str | None, typer.Option("--time", help="Time limit per job, as sbatch takes it.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder that receives the files.")] = None,
    state: Annotated[
        Path,
        typer.Option(
            "--state", help="Folder on a shared file system for the script, logs and unfinished work."
        ),
    ] = Path("overspill-state"),
    via: Annotated[
        str,
        typer.Option(
            "--via", help="What repeats the job: sbatch, scrontab, or auto (whichever is available)."
        ),
    ] = "auto",
    extra: Annotated[
        list[str] | None, typer.Argument(metavar="[-- OPTIONS]", help="Options of `overspill run`.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print the script and the commands; submit nothing.")
    ] = False,
    replace: Annotated[bool, typer.Option("--replace", help="End the schedule of this name first.")] = False,
    as_json: Json = False,
) -> None:
    """Schedule the whole cycle on Slurm: a job that submits its successor, or an entry of scrontab."""
    with report_errors():
        from pipelines.runtime.schedule import chain
        from pipelines.runtime.schedule import slurm as cluster
        from pipelines.runtime.schedule.script import ScheduleRequest

        _check_options(extra or [])
        request = ScheduleRequest(
            name=name,
            every=every,
            at=at,
            nodes=nodes,
            tasks_per_node=tasks_per_node,
            gpus_per_node=gpus_per_node,
            partition=partition,
            account=account,
            time=time,
            out=None if out is None else out.absolute(),
            state=state.absolute(),
            extra=tuple(extra or ()),
        )
        cluster.require_slurm()
        planned = chain.plan(request, via=via)
        job = None if dry_run else chain.carry_out(planned, replace=replace)
        _tell(planned, job, dry_run=dry_run, as_json=as_json)


@app.command()
def status(*, as_json: Json = False) -> None:
    """Schedules and their jobs that wait or run."""
    with report_errors():
        from pipelines.runtime.schedule import chain
        from pipelines.runtime.schedule import slurm as cluster

        cluster.require_slurm()
        rows = chain.status()
        if as_json:
            print_json({"schedules": rows})
        elif not rows:
            typer.echo("no schedule")
        else:
            import polars as pl

            from pipelines.cli.terminal.tables import print_table

            print_table(stdout(), pl.DataFrame(rows), title="schedules (wall-clock time of the cluster)")


@app.command()
def cancel(name: Name = "overspill", *, as_json: Json = False) -> None:
    """End a schedule, with its jobs that wait and those that run."""
    with report_errors():
        from pipelines.runtime.schedule import chain
        from pipelines.runtime.schedule import slurm as cluster

        cluster.require_slurm()
        ended = chain.cancel(name)
        if as_json:
            print_json({"name": name, "cancelled": ended.jobs, "scrontab": ended.entry})
        else:
            typer.echo(f"schedule {name} ended; jobs cancelled: {', '.join(ended.jobs) or 'none'}")


def _tell(planned: Plan, job: str | None, *, dry_run: bool, as_json: bool) -> None:
    request = planned.request
    if as_json:
        print_json(
            {
                "name": request.name,
                "via": planned.via,
                "job": job,
                "begin": planned.begin.isoformat(),
                "every": request.every,
                "crontab": planned.crontab and planned.crontab[0],
                "script": str(request.script),
                "commands": planned.commands,
                "submitted": not dry_run,
                **({"text": planned.script} if dry_run else {}),
            }
        )
        return
    if dry_run:
        typer.echo(planned.script)
        if planned.crontab is not None:
            typer.echo(planned.crontab[1])
        typer.echo("\n".join(f"# would run: {command}" for command in planned.commands))
        return
    how = f"job {job}" if planned.crontab is None else f"scrontab at {planned.crontab[0]}"
    typer.echo(
        f"schedule {request.name}: {how}, first at {planned.begin.isoformat()}, then every {request.every}"
    )
    typer.echo(f"script and logs: {request.script.parent}")


def _check_options(extra: list[str]) -> None:
    """Reject now what `overspill run` would reject at night, and a password that would be in the script.

    Raises
    ------
    InputError
        If an option is none of `overspill run`, a setting is wrong, or an address holds a password.
    """
    from forecasting.errors import InputError
    from pipelines.cli.commands import run
    from pipelines.runtime.store.address import masked

    for word in extra:
        value = word.partition("=")[2] or word
        if masked(value) != value:
            raise InputError(
                "a password must not be in a job's script or on a command line",
                expected="MLFLOW_TRACKING_URI, or MLFLOW_TRACKING_USERNAME and _PASSWORD, in the environment",
                found=masked(value),
                where="--set",
            )
    program = typer.Typer()
    run.register(program)
    refusal: Any = typer.BadParameter.__base__  # UsageError; typer brings its own click and does not name it
    try:
        given = typer.main.get_command(program).make_context("run", list(extra)).params
    except typer.Exit:
        raise InputError("--help is not an option of a scheduled run", where="after --") from None
    except refusal as error:
        raise InputError(
            f"`overspill run` would reject this: {error.format_message()}", where="after --"
        ) from error
    resolved_settings(given.get("config"), given.get("override"))
