"""The job's script: the packaged `cycle.sbatch` with the directives and variables of a schedule."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path

import configs
from forecasting.errors import InputError
from pipelines.runtime.schedule.slurm import COMMENT

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
DIRECTIVE = re.compile(r"#SBATCH --([a-z-]+)")
GPUS = re.compile(r"(?:[A-Za-z0-9_.-]+:)?([1-9]\d{0,3})")
VARIABLES_AFTER = "set -uo pipefail"  # the line of the packaged script below which the variables stand
STARTER = "-start"  # a crontab's entry is a job of this name, which submits the cycle


@dataclass(frozen=True, kw_only=True)
class ScheduleRequest:
    """What the user asked for; None where it is left to the packaged script.

    `gpus_per_node` is a number or type:number; `extra` are options of `overspill run`.
    """

    name: str
    every: str
    at: str | None
    nodes: int | None
    tasks_per_node: int | None
    gpus_per_node: str | None
    partition: str | None
    account: str | None
    time: str | None
    out: Path | None
    state: Path
    extra: tuple[str, ...]

    def __post_init__(self) -> None:
        """Check what Slurm would not, or would only at night."""
        if NAME.fullmatch(self.name) is None:
            raise InputError(
                "a schedule's name is one word",
                expected="letters, digits, dot, dash and underscore, at most 64",
                found=repr(self.name),
                where="--name",
            )
        if self.gpus_per_node is not None and GPUS.fullmatch(self.gpus_per_node) is None:
            raise InputError(
                "GPUs are a number, or a type and a number",
                expected="such as 8, h200:8 or mi325x:8",
                found=self.gpus_per_node,
                where="--gpus-per-node",
            )
        for option, text in (("partition", self.partition), ("account", self.account), ("time", self.time)):
            if text is not None and not text.isprintable():
                raise InputError("the value is one printable line", found=repr(text), where=f"--{option}")

    @property
    def tasks(self) -> int | None:
        """Processes per node: as asked for, else one per GPU."""
        if self.tasks_per_node is not None or self.gpus_per_node is None:
            return self.tasks_per_node
        return int(self.gpus_per_node.rpartition(":")[2])

    @property
    def script(self) -> Path:
        """File of the rendered script."""
        return self.state / f"{self.name}.sbatch"

    @property
    def comment(self) -> str:
        """Comment of the schedule's jobs, by which they are found again."""
        return f"{COMMENT}every={self.every}" + (f",at={self.at}" if self.at else "")

    def directives(self, *, starter: bool = False) -> dict[str, str]:
        """Options of sbatch by name, for the cycle or for the small job that a crontab starts it with."""
        given: dict[str, object] = {
            "job-name": self.name + (STARTER if starter else ""),
            "comment": self.comment,
            "partition": self.partition,
            "account": self.account,
            "chdir": Path.cwd(),
        }
        if starter:
            given |= {
                "time": "00:10:00",
                "open-mode": "append",
                "output": self.state / f"{self.name}-start.out",
            }
        else:
            given |= {
                "nodes": self.nodes,
                "ntasks-per-node": self.tasks,
                "gpus-per-node": self.gpus_per_node,
                "time": self.time,
                "output": self.state / "%x-%j.out",
            }
        return {key: shlex.quote(str(value)) for key, value in given.items() if value is not None}


def render(request: ScheduleRequest, variables: dict[str, int]) -> str:
    """The script of a schedule's jobs; `variables` are the chain's own, none where a crontab starts them."""
    lines = _packaged("cycle.sbatch").splitlines()
    left = request.directives()
    last = max(index for index, line in enumerate(lines) if DIRECTIVE.match(line))
    rendered = []
    for index, line in enumerate(lines):
        match = DIRECTIVE.match(line)
        rendered.append(
            f"#SBATCH --{match[1]}={left.pop(match[1])}" if match is not None and match[1] in left else line
        )
        if index == last:
            rendered += [f"#SBATCH --{key}={value}" for key, value in left.items()]
        if line == VARIABLES_AFTER:
            rendered += ["", f"# Of `overspill schedule slurm --every {request.every}`:"]
            rendered += _assignments(request, variables)
    return "\n".join(rendered) + "\n"


def _assignments(request: ScheduleRequest, variables: dict[str, int]) -> list[str]:
    given = {"COMMAND": _command(), "STATE": str(request.state)}
    given |= {"OUT": str(request.out)} if request.out is not None else {}
    exports = [f"export OVERSPILL_{key}={shlex.quote(value)}" for key, value in given.items()]
    exports += [f"export OVERSPILL_{key}={value}" for key, value in variables.items() if key != "SLOT"]
    if "SLOT" in variables:  # a successor is given its own
        exports.append(f"export OVERSPILL_SLOT=${{OVERSPILL_SLOT:-{variables['SLOT']}}}")
    return [*exports, f"set -- {shlex.join(request.extra)}".rstrip()]


def _command() -> str:
    """The program that jobs call: OVERSPILL_COMMAND, else the one beside this interpreter, else on PATH."""
    beside = Path(sys.executable).parent / "overspill"
    found = os.environ.get("OVERSPILL_COMMAND") or (str(beside) if beside.exists() else "")
    found = shutil.which(found or "overspill") or ""
    if not found:
        raise InputError(
            "the jobs need the command `overspill`",
            expected="it on PATH, or OVERSPILL_COMMAND",
            found=os.environ.get("OVERSPILL_COMMAND", "neither"),
        )
    return str(Path(found).absolute())


def _packaged(name: str) -> str:
    return files(configs).joinpath("cluster", "slurm", name).read_text(encoding="utf-8")
