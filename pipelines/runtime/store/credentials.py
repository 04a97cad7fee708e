"""Address and login of a tracking server from files, as container secrets are given.

MLflow itself reads them from the environment, and user and password from `~/.mlflow/credentials`; what a file
holds goes into this process' environment and nowhere else.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path

from forecasting.errors import InputError

ADDRESS, USER = "MLFLOW_TRACKING_URI", "MLFLOW_TRACKING_USERNAME"
SECRET = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")


def read_secret_files() -> None:
    """Set each of MLflow's variables for which a variable of the same name and `_FILE` names a file.

    Raises
    ------
    InputError
        The file cannot be read, does not hold one line, may be read by other users, or contradicts the
        variable itself. Its content is never printed.
    """
    for name in (ADDRESS, USER, *SECRET):
        file = os.environ.get(f"{name}_FILE")
        if file:
            value = _line(Path(file), where=f"{name}_FILE")
            if os.environ.get(name, value) != value:
                raise InputError("the variable and the file differ: give one of them", where=f"{name}_FILE")
            os.environ[name] = value


def known_secrets() -> list[str]:
    """Passwords of the environment, to be taken out of the errors of others."""
    return [value for name in SECRET if (value := os.environ.get(name))]


def _line(path: Path, *, where: str) -> str:
    try:
        state = path.stat()
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is no text"
        raise InputError("the file cannot be read", found=f"{path}: {reason}", where=where) from error
    # A secret mounted for a container that is not root belongs to root and is read through the group.
    forbidden = stat.S_IRWXO | (stat.S_IRWXG if state.st_uid == os.getuid() else stat.S_IWGRP)
    if state.st_mode & forbidden:
        raise InputError(
            "the file may be read by other users",
            expected="mode 0400 or 0600, or 0440 where it belongs to another user",
            found=f"{stat.S_IMODE(state.st_mode):04o} for {path}",
            where=where,
        )
    if len(lines) != 1 or not lines[0].strip():
        raise InputError("the file holds one line", found=f"{len(lines)} lines in {path}", where=where)
    return lines[0].strip()
