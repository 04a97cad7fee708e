"""The GPU benchmark's logic, on the CPU in its smallest form; its figures mean nothing here."""

import sys

import gpu
import pytest
import torch

from models.network.transformer import Network, count_parameters

SMALLEST = ["--device", "cpu", "--millions", "1", "--series", "16", "--steps", "1", "--repeats", "1"]
DEVICE = torch.device("cpu")


def rows(output, first):
    """Rows of the table whose first column has this name, as mappings."""
    lines = iter(output.splitlines())
    header = next(line for line in lines if line.startswith(f"| {first} |"))
    names = [cell.strip() for cell in header.strip("|").split("|")]
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append(dict(zip(names, (cell.strip() for cell in line.strip("|").split("|")), strict=True)))
    return found


@pytest.mark.parametrize("millions", gpu.SIZES)
def test_the_sizes_are_what_they_are_called(millions):
    found = count_parameters(Network(gpu.SIZES[millions]))
    assert 0.9 * millions < found / 1e6 < 1.3 * millions


def test_one_table_and_the_tables_of_the_profile_are_printed(monkeypatch, capsys, tmp_path):
    trace = tmp_path / "trace.json"
    options = [*SMALLEST, "--paths", "10", "--compile", "no", "--profile", "--trace", str(trace)]
    monkeypatch.setattr(sys, "argv", ["gpu.py", *options])
    gpu.main()
    printed = capsys.readouterr().out
    (row,) = rows(printed, "parameters")
    assert tuple(row) == gpu.COLUMNS
    assert (row["compiled"], row["utilisation"], row["peak memory, GiB"]) == ("no", "-", "-")
    parts = rows(printed, "part")
    assert {row["part"] for row in parts} == {
        *("worlds", "forward: features and network", "losses: sampled paths, copula, quantiles"),
        *("backward", "clipping", "optimizer", "averaged weights"),
    }
    assert sum(float(row["share"].strip("%")) for row in parts) == pytest.approx(100, abs=1)
    assert all(int(row["operations"].replace(",", "")) > 0 for row in parts)
    assert len(rows(printed, "operation")) == gpu.TOP
    assert trace.stat().st_size > 1000


def test_a_step_of_the_benchmark_is_the_step_of_the_training():
    training = gpu.Training(gpu.recipe(1, 8), DEVICE)
    before = [parameter.clone() for parameter in training.module.network.parameters()]
    average = [parameter.clone() for parameter in training.module.average.parameters()]
    training.step(gpu.Parts(DEVICE))
    after = list(training.module.network.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    moved = list(training.module.average.parameters())
    assert any(not torch.equal(old, new) for old, new in zip(average, moved, strict=True))
    assert all(parameter.grad is None for parameter in after)


def test_batches_hold_as_many_series_as_were_asked_for():
    for series in (16, 96, 4096):
        worlds = gpu.recipe(1, series).worlds
        context, horizon, variates = worlds.shapes[0]
        assert max(8, round(worlds.series_per_batch * 128 / ((context + horizon) * variates))) == series
