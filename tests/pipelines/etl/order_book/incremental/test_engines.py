"""Whoever reads the files, the result is the same to the unit; an engine that is missing is told of."""

from __future__ import annotations

import io
import socket
import sys

import numpy as np
import pytest
from rich.console import Console

from forecasting.errors import InputError, StepError
from pipelines.etl.order_book.files.csv_structure import FileCheck
from pipelines.etl.order_book.files.sources import list_sources
from pipelines.etl.order_book.incremental.engines import FileReadResult, _check_same_polars, gpu_is_there

RESULTS = ("panel", "series", "shipped_by_country", "priority_inversions")


@pytest.fixture
def locally(bench):
    """A tangled book, and what this machine makes of it."""
    bench.write([*bench.lines(300), *bench.tangle(np.random.default_rng(3), 200)], 8)
    bench.etl("data.quarantine_max_share=1")
    tables, summary, quarantine = (
        {name: bench.read(name) for name in RESULTS},
        bench.summary,
        bench.quarantine,
    )

    def same():
        assert all(bench.read(name).equals(table) for name, table in tables.items())
        assert bench.summary == summary
        assert bench.quarantine == quarantine

    return same


@pytest.mark.skipif(gpu_is_there(), reason="a GPU engine is installed")
def test_gpu_engine_that_is_not_installed_is_told_in_one_line_and_done_without(bench, locally):
    bench.etl("data.engine=gpu", "data.quarantine_max_share=1", f"data.cache={bench.folder / 'gpu'}")
    assert bench.said.count("no GPU engine (cudf-polars is not installed): reading on the CPU") == 1
    locally()


def test_unknown_engine_is_refused(bench):
    with pytest.raises(
        InputError, match="--set data.engine: input should be 'local', 'ray' or 'gpu': found 'spark'"
    ):
        bench.etl("data.engine=spark")


def test_ray_that_is_not_installed_is_told_with_the_way_to_get_it(bench, monkeypatch):
    bench.write(bench.lines(20))
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(StepError, match=r"the engine ray needs the extra: pip install 'overspill\[ray\]'"):
        bench.etl("data.engine=ray")


def test_cluster_that_does_not_answer_is_told_in_one_sentence(bench, monkeypatch):
    bench.write(bench.lines(20))
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{free.getsockname()[1]}"
    monkeypatch.setenv("RAY_ADDRESS", address)
    with pytest.raises(StepError, match=f"the Ray cluster at {address} does not answer .*Connection refused"):
        bench.etl("data.engine=ray")


def test_machines_with_another_polars_are_refused(bench):
    source = list_sources([str(bench.write(bench.lines(1))[0])], {}).files[0]
    reading = FileReadResult(source=source, proof=FileCheck(content="x"), digest=None, polars="0.0.1")
    with pytest.raises(StepError, match=r"must have the same Polars: here .*, there 0\.0\.1"):
        _check_same_polars(reading)


def test_progress_is_shown_per_file_on_a_terminal(bench):
    bench.write(bench.lines(60), 3)
    context = bench.context()
    shown = Console(file=io.StringIO(), force_terminal=True, width=80)
    from dataclasses import replace

    from pipelines.etl.step import run_etl

    run_etl(replace(context, console=shown))
    assert "order lines" in shown.file.getvalue()


@pytest.fixture(scope="module")
def cluster():
    """A Ray cluster of two nodes on this machine."""
    import os
    import warnings

    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import ray
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
        cluster.add_node(num_cpus=1)
        ray.init(address=cluster.address, log_to_driver=False, logging_level="ERROR")
        yield ray
        ray.shutdown()
        cluster.shutdown()


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::ResourceWarning", "ignore::FutureWarning", "ignore::DeprecationWarning")
def test_two_node_cluster_gives_what_one_machine_gives(bench, locally, cluster):
    assert len([node for node in cluster.nodes() if node["Alive"]]) == 2
    there = ["data.engine=ray", "data.quarantine_max_share=1", f"data.cache={bench.folder / 'ray'}"]
    bench.etl(*there)
    locally()
    bench.etl(*there)  # nothing is read again
    locally()
    path = bench.orders / "part-3.parquet"
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(InputError, match=r"part-3\.parquet: the file cannot be read to its end") as refusal:
        bench.etl(*there)
    assert "\n" not in str(refusal.value)
    assert cluster.is_initialized()  # what was there before is left there
