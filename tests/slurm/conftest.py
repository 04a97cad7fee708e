"""A real Slurm of one node for the tests: munged, slurmctld and slurmd of its own, on free loopback ports.

Nothing of the machine's own Slurm is read or touched: key, sockets, state and logs lie in a folder of the
session, and SLURM_CONF reaches only the commands that the fixture's object starts.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

DAEMONS = ("munged", "slurmctld", "slurmd")
COMMANDS = ("sbatch", "srun", "scontrol", "squeue", "scancel", "sinfo")
ENDED = frozenset({"COMPLETED", "FAILED", "CANCELLED", "TIMEOUT", "NODE_FAIL", "PREEMPTED", "OUT_OF_MEMORY"})
CPUS = 4  # declared, whatever the machine has: two tasks always fit
GPUS = ("/dev/null", "/dev/zero")  # any device file will do: what Slurm grants and refuses can be tried
SBIN = "/usr/sbin:/sbin"  # Debian's place of the daemons, not on everybody's PATH
STARTED_SECONDS, STOPPED_SECONDS = 60, 20
CONF = """
ClusterName=tests
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ctld_port}
SlurmdPort={slurmd_port}
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
AuthInfo=socket={root}/munge.socket
CredType=cred/munge
StateSaveLocation={root}/state
SlurmdSpoolDir={root}/spool
SlurmctldPidFile={root}/slurmctld.pid
SlurmdPidFile={root}/slurmd.pid
SlurmctldLogFile={root}/slurmctld.log
SlurmdLogFile={root}/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
SchedulerParameters=sched_interval=1,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=REQUEUE
ScronParameters=enable
GresTypes=gpu
SlurmdParameters=config_overrides
MailProg=/bin/true
MpiDefault=none
ReturnToService=2
JobRequeue=1
KillWait=10
MinJobAge=3600
MessageTimeout=10
SlurmctldTimeout=60
SlurmdTimeout=60
InactiveLimit=0
NodeName={host} NodeHostname={host} NodeAddr=127.0.0.1 CPUs={cpus} RealMemory={memory} Gres=gpu:{gpus}
PartitionName=normal Nodes={host} Default=YES MaxTime=1440 PriorityTier=1 GraceTime=10 State=UP
PartitionName=urgent Nodes={host} MaxTime=1440 PriorityTier=10 PreemptMode=OFF State=UP
"""


class Slurm:
    """The cluster of the tests, and what one does with it.

    Attributes
    ----------
    root : Path
        Folder of the daemons; jobs work in `work` below it, and their output is `work/<name>-<id>.out`.
    env : dict of str
        Environment of every command started here: the caller's without SLURM_* and SBATCH_*, and SLURM_CONF.
    """

    def __init__(self, root: Path) -> None:
        self.root, self.work = root, root / "work"
        for folder in ("state", "spool", "work"):
            (root / folder).mkdir()
        clean = {key: value for key, value in os.environ.items() if not key.startswith(("SLURM", "SBATCH"))}
        path = f"{Path(sys.executable).parent}:{clean.get('PATH', '')}:{SBIN}"
        self.env = clean | {"SLURM_CONF": str(root / "slurm.conf"), "PATH": path}
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self._configure()

    def _configure(self) -> None:
        (self.root / "gres.conf").write_text("".join(f"Name=gpu File={device}\n" for device in GPUS))
        with socket.socket() as one, socket.socket() as two:
            for probe in (one, two):
                probe.bind(("127.0.0.1", 0))
            ports = {"ctld_port": one.getsockname()[1], "slurmd_port": two.getsockname()[1]}
        host = socket.gethostname().split(".")[0]
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
        text = CONF.format(root=self.root, host=host, cpus=CPUS, gpus=len(GPUS), memory=memory, **ports)
        (self.root / "slurm.conf").write_text(text)
        key = self.root / "munge.key"
        key.write_bytes(os.urandom(1024))
        key.chmod(0o400)

    def start(self) -> None:
        """Start the three daemons and wait until the node takes jobs."""
        files = {"socket": "munge.socket", "key-file": "munge.key", "pid-file": "munged.pid"}
        files |= {"log-file": "munged.log", "seed-file": "munged.seed"}
        self._spawn(
            "munged", "--foreground", "--force", *(f"--{name}={self.root / at}" for name, at in files.items())
        )
        self._until((self.root / "munge.socket").exists, "munged has no socket")
        self._spawn("slurmctld", "-D", "-i")
        self._until(lambda: self.run("scontrol", "ping", check=False).returncode == 0, "slurmctld is silent")
        self._spawn("slurmd", "-D")
        self._until(self._ready, "the node does not get idle")

    def _ready(self) -> bool:
        return self.run("sinfo", "-ho", "%t", "-p", "normal", check=False).stdout.strip() == "idle"

    def _spawn(self, daemon: str, *arguments: str) -> None:
        program = shutil.which(daemon, path=self.env["PATH"])
        with (self.root / f"{daemon}.out").open("ab") as log:
            self._daemons[daemon] = subprocess.Popen(
                [program, *arguments],
                env=self.env,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _until(self, holds, complaint: str) -> None:
        deadline = time.monotonic() + STARTED_SECONDS
        while not holds():
            dead = [name for name, daemon in self._daemons.items() if daemon.poll() is not None]
            if dead or time.monotonic() > deadline:
                pytest.fail(f"{complaint}; ended by themselves: {dead}\n{self.logs()}", pytrace=False)
            time.sleep(0.1)

    def stop(self) -> None:
        """Cancel every job, then end the daemons by their own process ids, the last one first."""
        with contextlib.suppress(Exception):
            self.clear()
        for daemon in reversed(self._daemons.values()):
            for last in (signal.SIGTERM, signal.SIGKILL):
                if daemon.poll() is None:
                    daemon.send_signal(last)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    daemon.wait(STOPPED_SECONDS)

    @contextlib.contextmanager
    def controller_away(self):
        """Within it, slurmctld does not run."""
        controller = self._daemons["slurmctld"]
        controller.terminate()
        controller.wait(STOPPED_SECONDS)
        try:
            yield
        finally:
            self._spawn("slurmctld", "-D")
            self._until(self._ready, "slurmctld did not come back")

    def run(self, *command: str, check: bool = True, seconds: float = 60, **options):
        """Standard output of a command in the cluster's environment; with `check=False`, how it ended."""
        settings = {"env": self.env, "cwd": self.work} | options
        done = subprocess.run(
            command, check=False, capture_output=True, text=True, timeout=seconds, **settings
        )
        if not check:
            return done
        assert done.returncode == 0, f"{command}: {done.stderr}\n{done.stdout}"
        return done.stdout

    def submit(self, script: str | Path, *options: str, env: dict[str, str] | None = None) -> str:
        """Id of a job from a script, as text or as a file; `env` is added to its environment."""
        if isinstance(script, str):
            handle, name = tempfile.mkstemp(suffix=".sbatch", dir=self.work)
            with os.fdopen(handle, "w") as file:
                file.write(script)
            script = Path(name)
        given = ["--parsable", "--chdir", str(self.work), "--output", f"{self.work}/%x-%j.out", *options]
        printed = self.run("sbatch", *given, str(script), env=self.env | (env or {}))
        return printed.strip().split(";")[0]

    def show(self, job: str) -> dict[str, str]:
        """What `scontrol show job` says, by key."""
        words = self.run("scontrol", "--oneliner", "show", "job", job).split()
        return dict(word.split("=", 1) for word in words if "=" in word)

    def wait(self, job: str, states: str | set[str] = ENDED, seconds: float = 60) -> str:
        """The job's state as soon as it is one of these; fails with its output and the daemons' logs.

        Slurm holds a requeued job back for two minutes: here it is let go at once.
        """
        wanted = {states} if isinstance(states, str) else states
        deadline = time.monotonic() + seconds
        while (state := (shown := self.show(job))["JobState"]) not in wanted:
            if state == "PENDING" and shown["Restarts"] != "0":
                self.shorten_retries(job, shown["EligibleTime"])
            if time.monotonic() > deadline or (state in ENDED and state != "PREEMPTED"):
                printed = f"job {job} is {state}, not {sorted(wanted)}: {shown}"
                pytest.fail(f"{printed}\n{self.output(job)}\n{self.logs()}", pytrace=False)
            time.sleep(0.2)
        return state

    def output(self, job: str) -> str:
        """What the job has written so far."""
        file = Path(self.show(job)["StdOut"])
        return file.read_text() if file.exists() else ""

    def queue(self) -> list[str]:
        """Ids of the jobs that wait or run."""
        return self.run("squeue", "--noheader", "--format=%A").split()

    def shorten_retries(self, job: str, begin: str) -> None:
        """Let a job start in two seconds that Slurm holds back for long.

        Not sooner: Slurm counts whole seconds, and what is granted in that of the requeue counts as revoked.
        """
        away = dt.datetime.fromisoformat(begin) - dt.datetime.now()  # noqa: DTZ005 - as Slurm writes it
        if away.total_seconds() > 5:
            self.run("scontrol", "update", f"JobId={job}", "StartTime=now+2", check=False)

    def clear(self) -> None:
        """Cancel every job and wait until none is left."""
        deadline = time.monotonic() + STARTED_SECONDS
        while (jobs := self.queue()) and time.monotonic() < deadline:
            self.run("scancel", *jobs, check=False)
            time.sleep(0.2)
        assert not jobs, f"still there: {jobs}\n{self.logs()}"

    def logs(self, lines: int = 40) -> str:
        """The last lines of the daemons' logs."""
        printed = []
        for daemon in DAEMONS:
            for suffix in ("log", "out"):
                file = self.root / f"{daemon}.{suffix}"
                if file.exists():
                    last = file.read_text(errors="replace").splitlines()[-lines:]
                    printed += [f"--- {file.name}", *last]
        return "\n".join(printed)


def _missing() -> str | None:
    path = f"{os.environ.get('PATH', '')}:{SBIN}"
    away = [name for name in (*DAEMONS, *COMMANDS) if shutil.which(name, path=path) is None]
    if away:
        return f"no Slurm here: {', '.join(away)} not found (Debian: slurm-wlm and munge)"
    return None if os.geteuid() == 0 else "only root can start the daemons of a Slurm"


@pytest.fixture(scope="session")
def cluster():
    """The running Slurm of this session; tests take `slurm`, which is empty at their start."""
    if reason := _missing():
        pytest.skip(reason)
    # A short path: a Unix socket's name holds 107 characters.
    with tempfile.TemporaryDirectory(prefix="slurm-", ignore_cleanup_errors=True) as folder:
        slurm = Slurm(Path(folder))
        try:
            slurm.start()
            yield slurm
        finally:
            slurm.stop()


@pytest.fixture
def slurm(cluster, request):
    """A Slurm without any job, before and after the test; a failed test shows the daemons' logs."""
    cluster.clear()
    failed = request.session.testsfailed
    yield cluster
    if request.session.testsfailed > failed:
        sys.stderr.write(cluster.logs())
    cluster.clear()
