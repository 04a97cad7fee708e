"""Who reads the files: this machine, a Ray cluster, or this machine's GPU. What is read is the same."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TypeVar

import polars as pl
from rich.console import Console

from forecasting.errors import StepError
from pipelines.etl.order_book.files.csv_structure import FileCheck, check_file
from pipelines.etl.order_book.files.recipe import Recipe
from pipelines.etl.order_book.files.sources import SourceFile
from pipelines.etl.order_book.incremental.file_summary import FileSummary, summarise_file, summary_folder_name
from pipelines.etl.order_book.incremental.manifest import Manifest
from pipelines.runtime.config.order_book import Engine
from pipelines.runtime.jobs.ray_cluster import as_completed_on_ray


@dataclass(frozen=True, kw_only=True)
class FileReadResult:
    """What came of reading one file: no digest where its content was known already."""

    source: SourceFile
    proof: FileCheck
    digest: FileSummary | None
    polars: str = pl.__version__  # that of the machine that read it: hashes of keys hang on it


def read_files(
    sources: Sequence[SourceFile], recipe: Recipe, manifest: Manifest, *, engine: Engine, console: Console
) -> Iterator[FileSummary]:
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

    def read_here(source: SourceFile) -> tuple[FileReadResult, Path]:
        folder = manifest.part()
        return read_file(source, recipe, folder, known=known, gpu=engine == "gpu"), folder

    for reading, folder in side_by_side(read_here, sources):
        yield _taken(reading, recipe, manifest, folder)


def gpu_is_there() -> bool:
    """Whether Polars' GPU engine is installed."""
    return importlib.util.find_spec("cudf_polars") is not None


def read_file(
    source: SourceFile, recipe: Recipe, folder: Path, *, known: frozenset[str], gpu: bool = False
) -> FileReadResult:
    """Prove a file's bytes and, unless a digest of its content is known by name, leave one in a folder."""
    proof = check_file(source, separator=recipe.separator, storage_options=recipe.storage_options)
    seen = summary_folder_name(source, proof.content) in known
    digest = None if seen else summarise_file(source, proof, recipe, folder, gpu=gpu)
    return FileReadResult(source=source, proof=proof, digest=digest)


def _taken(reading: FileReadResult, recipe: Recipe, manifest: Manifest, folder: Path) -> FileSummary:
    if reading.digest is None:
        return manifest.add_known(reading.source, reading.proof.content, recipe.intake.as_of)
    return manifest.add(reading.digest, folder)


def _on_ray(
    sources: Sequence[SourceFile], recipe: Recipe, manifest: Manifest, known: frozenset[str]
) -> Iterator[FileSummary]:
    """Fan the files out over the cluster; what was read is taken in as it comes."""
    read = partial(_packed, recipe=recipe, known=known)
    for _, (reading, files) in as_completed_on_ray(read, sources, env={"POLARS_MAX_THREADS": "1"}):
        _check_same_polars(reading)
        folder = manifest.part()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        yield _taken(reading, recipe, manifest, folder)


def _packed(
    source: SourceFile, *, recipe: Recipe, known: frozenset[str]
) -> tuple[FileReadResult, dict[str, bytes]]:
    """`read_file` on a worker: the files of the digest travel with it."""
    with tempfile.TemporaryDirectory(prefix="overspill-") as temporary:
        folder = Path(temporary)
        reading = read_file(source, recipe, folder, known=known)
        return reading, {path.name: path.read_bytes() for path in folder.iterdir()}


def _check_same_polars(reading: FileReadResult) -> None:
    if reading.polars != pl.__version__:
        raise StepError(
            f"the machines of the Ray cluster must have the same Polars: here {pl.__version__}, "
            f"there {reading.polars}"
        )


Item = TypeVar("Item")

Result = TypeVar("Result")

WORKERS = min((os.cpu_count() or 1) + 1, 4)  # files in flight; Polars itself uses every core for each


def side_by_side(do: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Results for items as they come, in any order; after an error nothing more is begun."""
    waiting = deque(items)
    running: set[Future[Result]] = set()
    with ThreadPoolExecutor(WORKERS) as pool:
        while waiting or running:
            while waiting and len(running) < WORKERS:
                running.add(pool.submit(do, waiting.popleft()))
            done, running = wait(running, return_when=FIRST_COMPLETED)
            for future in done:
                yield future.result()
