"""Who reads the files: this machine, a Ray cluster, or this machine's GPU. What is read is the same."""

from __future__ import annotations

import importlib.util
import os
import re
import socket
import tempfile
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
from rich.console import Console

from forecasting.errors import OverspillError, StepError
from pipelines.order_book.digest import Digest, digest_file, digest_name
from pipelines.order_book.integrity import Proof, prove
from pipelines.order_book.manifest import Manifest
from pipelines.order_book.recipe import Recipe
from pipelines.order_book.settings import Engine
from pipelines.order_book.side_by_side import side_by_side
from pipelines.order_book.sources import SourceFile

ANSWER_SECONDS = 10
TASKS_PER_CPU = 2  # that a cluster is given ahead, so that finished digests do not pile up in its memory


@dataclass(frozen=True, kw_only=True)
class Reading:
    """What came of reading one file: no digest where its content was known already."""

    source: SourceFile
    proof: Proof
    digest: Digest | None
    polars: str = pl.__version__  # that of the machine that read it: hashes of keys hang on it


def read_files(
    sources: Sequence[SourceFile], recipe: Recipe, manifest: Manifest, *, engine: Engine, console: Console
) -> Iterator[Digest]:
    """Read files by an engine; each digest is in the manifest by the time it is handed out, in any order.

    Raises
    ------
    InputError
        If a file cannot be read; what was read of the others stays in the manifest.
    StepError
        If the engine is not there, or fails.
    """
    if engine == "gpu" and not gpu_is_there():
        console.print("no GPU engine (cudf-polars is not installed): reading on the CPU", highlight=False)
        engine = "local"
    known = manifest.names(recipe.intake.as_of)
    if engine == "ray" and sources:
        yield from _on_ray(sources, recipe, manifest, known)
        return

    def read_here(source: SourceFile) -> tuple[Reading, Path]:
        folder = manifest.part()
        return read_file(source, recipe, folder, known=known, gpu=engine == "gpu"), folder

    for reading, folder in side_by_side(read_here, sources):
        yield _taken(reading, recipe, manifest, folder)


def gpu_is_there() -> bool:
    """Whether Polars' GPU engine is installed."""
    return importlib.util.find_spec("cudf_polars") is not None


def read_file(
    source: SourceFile, recipe: Recipe, folder: Path, *, known: frozenset[str], gpu: bool = False
) -> Reading:
    """Prove a file's bytes and, unless a digest of its content is known by name, leave one in a folder."""
    proof = prove(source, separator=recipe.separator, storage_options=recipe.storage_options)
    seen = digest_name(source, proof.content) in known
    digest = None if seen else digest_file(source, proof, recipe, folder, gpu=gpu)
    return Reading(source=source, proof=proof, digest=digest)


def _taken(reading: Reading, recipe: Recipe, manifest: Manifest, folder: Path) -> Digest:
    if reading.digest is None:
        return manifest.add_known(reading.source, reading.proof.content, recipe.intake.as_of)
    return manifest.add(reading.digest, folder)


def _on_ray(
    sources: Sequence[SourceFile], recipe: Recipe, manifest: Manifest, known: frozenset[str]
) -> Iterator[Digest]:
    """Fan the files out over the cluster that RAY_ADDRESS names, or one of this machine alone."""
    ray = _ray()
    started = not ray.is_initialized()
    try:
        if started:
            _check_answers(os.environ.get("RAY_ADDRESS", ""))
            ray.init(log_to_driver=False, logging_level="ERROR")
        read = ray.remote(num_cpus=1, runtime_env={"env_vars": {"POLARS_MAX_THREADS": "1"}})(_packed)
        ahead = max(int(ray.cluster_resources().get("CPU", 1)), 1) * TASKS_PER_CPU
        waiting = deque(sources)
        running: list[Any] = []
        while waiting or running:
            while waiting and len(running) < ahead:
                running.append(read.remote(waiting.popleft(), recipe, known))
            done, running = ray.wait(running)
            for reading, files in ray.get(done):
                _check_same_polars(reading)
                folder = manifest.part()
                for name, content in files.items():
                    (folder / name).write_bytes(content)
                yield _taken(reading, recipe, manifest, folder)
    except ray.exceptions.RayTaskError as error:
        if isinstance(error.cause, OverspillError):
            raise error.cause from error
        raise StepError(f"a worker of the Ray cluster failed: {_last_line(error)}") from error
    except (ray.exceptions.RayError, ConnectionError) as error:
        raise StepError(f"the Ray cluster failed: {_last_line(error)}") from error
    finally:
        if started and ray.is_initialized():
            ray.shutdown()


def _packed(source: SourceFile, recipe: Recipe, known: frozenset[str]) -> tuple[Reading, dict[str, bytes]]:
    """`read_file` on a worker: the files of the digest travel with it."""
    with tempfile.TemporaryDirectory(prefix="overspill-") as temporary:
        folder = Path(temporary)
        reading = read_file(source, recipe, folder, known=known)
        return reading, {path.name: path.read_bytes() for path in folder.iterdir()}


def _check_answers(address: str) -> None:
    """Knock at a cluster that is named by host and port: Ray itself takes minutes to find it closed."""
    named = re.fullmatch(r"(?:ray://)?([^/:]+):(\d+)", address)
    if named is None:
        return
    try:
        socket.create_connection((named[1], int(named[2])), timeout=ANSWER_SECONDS).close()
    except OSError as error:
        raise StepError(
            f"the Ray cluster at {address} does not answer ({error.strerror}): start it, or set RAY_ADDRESS"
        ) from error


def _check_same_polars(reading: Reading) -> None:
    if reading.polars != pl.__version__:
        raise StepError(
            f"the machines of the Ray cluster must have the same Polars: here {pl.__version__}, "
            f"there {reading.polars}"
        )


def _ray() -> Any:  # noqa: ANN401 - an extra, which may be absent
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    try:
        import ray  # noqa: PLC0415 - an extra: one machine does without
    except ImportError as error:
        raise StepError("the engine ray needs the extra: pip install 'overspill[ray]'") from error
    return ray


def _last_line(error: Exception) -> str:
    return str(error).strip().rsplit("\n", maxsplit=1)[-1]
