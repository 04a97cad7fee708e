"""Whatever a probe does, the others answer, nothing hangs, and nothing is left behind."""

import tempfile
import time
from pathlib import Path

from pipelines.doctor.probes import MOST_PATIENCE, patience, run_probes


def statuses(found):
    return {each.check: each.status for each in found}


def test_findings_come_in_the_order_of_the_probes(written, small_settings):
    slow = written("time.sleep(4)\nyield ok('first', 'slow')\nyield ok('second', 'slow')")
    quick = written("yield ok('first', 'quick')\nyield ok('second', 'quick')")
    ended = []
    found = run_probes([slow, quick], small_settings, ended=ended.append)
    assert [(each.check, each.found) for each in found] == [
        ("first", "slow"),
        ("second", "slow"),
        ("first", "quick"),
        ("second", "quick"),
    ]
    assert ended == [quick, slow]


def test_a_probe_that_hangs_is_ended_in_time_and_what_it_had_found_is_kept(
    written, small_settings, monkeypatch
):
    monkeypatch.setattr("pipelines.doctor.probes.patience", lambda: 2.0)
    hangs = written("yield ok('first', 'found')\ntime.sleep(600)", seconds=6)
    well = written("yield ok('first', 'x')\nyield ok('second', 'y')")
    started = time.monotonic()
    found = run_probes([hangs, well], small_settings)
    assert 12 <= time.monotonic() - started < 60
    assert [each.status for each in found] == ["ok", "fail", "ok", "ok"]
    assert (found[1].found, found[1].advice) == ("no answer within 12 s", "mend it")


def test_a_loaded_machine_gets_more_time_in_proportion_and_no_end_of_it(monkeypatch):
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {0, 1, 2, 3})
    for load, expected in ((0.1, 1.0), (4.0, 1.0), (8.0, 2.0), (400.0, MOST_PATIENCE)):
        monkeypatch.setattr("os.getloadavg", lambda load=load: (load, 0.0, 0.0))
        assert patience() == expected


def test_what_a_hanging_probe_has_started_ends_with_it(written, small_settings, tmp_path):
    body = f"""
    import subprocess
    child = subprocess.Popen(["sleep", "600"])
    open({str(tmp_path / "pid")!r}, "w").write(str(child.pid))
    time.sleep(600)
    """
    run_probes([written(body, seconds=3)], small_settings)
    pid = int((tmp_path / "pid").read_text())
    deadline = time.monotonic() + 5
    while is_alive(pid):
        assert time.monotonic() < deadline
        time.sleep(0.05)


def is_alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_probe_that_crashes_says_by_which_signal(written, small_settings):
    crashes = written("yield ok('first', 'found')\nos.kill(os.getpid(), signal.SIGSEGV)")
    found = run_probes([crashes], small_settings)
    assert statuses(found) == {"first": "ok", "second": "fail"}
    assert found[1].found == "the process was ended by SIGSEGV"


def test_a_probe_that_fails_says_its_last_line(written, small_settings):
    fails = written("raise ValueError('that was wrong')", required=())
    found = run_probes([fails], small_settings)
    assert statuses(found) == {"first": "warn", "second": "warn"}
    assert found[0].found == "ValueError: that was wrong"


def test_a_probe_that_cannot_be_imported_is_a_finding(small_settings, written):
    broken = written("((", required=("first",))
    found = run_probes([broken], small_settings)
    assert statuses(found) == {"first": "fail", "second": "warn"}
    assert "SyntaxError" in found[0].found


def test_what_a_probe_prints_stays_off_the_terminal(written, small_settings, capfd):
    prints = written(
        "print('noise')\nprint('noise', file=sys.stderr)\nyield ok('first', '')\nyield ok('second', '')"
    )
    run_probes([prints], small_settings)
    assert capfd.readouterr() == ("", "")


def test_no_temporary_file_is_left_behind(written, small_settings, tmp_path, monkeypatch):
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    litters = written("(scratch / 'litter').write_text('x')\ntime.sleep(600)", seconds=3)
    run_probes([litters], small_settings)
    assert not list(folder.iterdir())


def test_the_settings_reach_a_probe_and_no_argument_of_its_process(written, settings_on):
    body = """
    yield ok('first', settings.tracking.uri)
    yield ok('second', open('/proc/self/cmdline').read())
    """
    found = run_probes([written(body)], settings_on("http://anna:s3cret@127.0.0.1:1"))
    assert found[0].found == "http://anna:s3cret@127.0.0.1:1"
    assert "s3cret" not in found[1].found
    assert "probes" in found[1].found
