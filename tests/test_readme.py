"""README and docs: the commands they print run, and what they point to exists.

A fenced block's info string says what is done with it: `sh` is run as printed, `sh help` is parsed (its
options exist), `sh make` is a dry run, `python` is run, and `LANGUAGE NAME` is the file of that name, which
later commands read. All blocks of a document share one folder.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest
from typer.testing import CliRunner

from forecasting.order_book.countries import country_code
from pipelines.cli.main import app

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"
DOCUMENTS = [README, *sorted((ROOT / "docs").glob("*.md"))]
FENCE = re.compile(r"^```([^\n]*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)")
LINES_AT_MOST = 172


@dataclass(frozen=True, kw_only=True)
class Block:
    """A fenced block: its info string and what it holds."""

    info: str
    text: str

    @property
    def commands(self):
        """Its commands without comments, one a line."""
        lines = (line for line in self.text.splitlines() if line and not line.startswith("#"))
        return [shlex.join(shlex.split(line, comments=True)) for line in lines]


def blocks(document):
    return [
        Block(info=info.strip(), text=text)
        for info, text in FENCE.findall(document.read_text(encoding="utf-8"))
    ]


def name(document):
    return document.name


def exit_status(line):
    """The exit status that a comment announces."""
    stated = re.search(r"# exit status (\d+)", line)
    return int(stated[1]) if stated else 0


@pytest.fixture
def environment(tmp_path):
    """Variables of a shell that finds the command and has a store of its own."""
    scripts = tmp_path / ".bin"
    scripts.mkdir()
    (scripts / "overspill").write_text(f'#!/bin/sh\nexec {sys.executable} -m pipelines.cli.main "$@"\n')
    (scripts / "overspill").chmod(0o755)
    variables = {key: value for key, value in os.environ.items() if not key.startswith("MLFLOW_")}
    return variables | {"PATH": f"{scripts}:{os.environ['PATH']}", "PYTHONPATH": str(ROOT)}


@pytest.mark.slow
def test_readmes_commands_run_as_printed(tmp_path, environment):
    folder = tmp_path / "here"
    folder.mkdir()
    here = {"cwd": folder, "env": environment}
    ran = 0
    for block in blocks(README):
        language, _, file = block.info.partition(" ")
        if block.info == "python":
            subprocess.run([sys.executable, "-c", block.text], check=True, **here)
        elif block.info == "sh":
            for line in filter(None, block.text.splitlines()):
                done = subprocess.run(
                    ["bash", "-c", line], check=False, capture_output=True, text=True, **here
                )
                assert done.returncode == exit_status(line), (line, done.stderr)
                ran += 1
        elif file and language != "sh":
            (folder / file).write_text(block.text)
    assert ran >= 7
    assert (folder / "evidence" / "evidence.html").is_file()
    assert (folder / "book" / "quarantine").is_dir()
    assert (folder / "predicted" / "paths.parquet").is_file()


def test_the_bad_row_of_readmes_order_book_is_the_one_whose_country_is_refused():
    [book] = [block for block in blocks(README) if block.info == "csv orders.csv"]
    rows = [row.split(",") for row in book.text.splitlines()]
    place = rows[0].index("end_use_country")
    bad = [(number, row[place]) for number, row in enumerate(rows[1:], 1) if country_code(row[place]) is None]
    [(number, words)] = bad
    assert f"(row {number}: `{words}` is no country)" in README.read_text(encoding="utf-8")


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_commands_that_are_not_run_have_only_options_that_exist(document):
    for block in blocks(document):
        if block.info != "sh help":
            continue
        for command in block.commands:
            program, *arguments = shlex.split(command)
            assert program == "overspill"
            done = CliRunner().invoke(app, [*arguments, "--help"])
            assert done.exit_code == 0, (command, done.stderr)


def test_an_option_that_does_not_exist_would_be_found():
    assert CliRunner().invoke(app, ["run", "--no-such-option", "--help"]).exit_code == 2


def test_readmes_make_targets_exist():
    [block] = [block for block in blocks(README) if block.info == "sh make"]
    for command in block.commands:
        subprocess.run([*shlex.split(command), "--dry-run"], cwd=ROOT, capture_output=True, check=True)


def test_every_folder_in_the_picture_of_the_flow_exists():
    [block] = [block for block in blocks(README) if block.info == "mermaid"]
    folders = re.findall(r"\b(?:pipelines|forecasting|models|configs)/\w+", block.text)
    assert len(folders) > 15
    assert [folder for folder in folders if not (ROOT / folder).is_dir()] == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=name)
def test_every_link_leads_somewhere(document):
    for path, anchor in LINK.findall(document.read_text(encoding="utf-8")):
        target = document.parent / path if path else document
        assert target.exists(), path
        if anchor:
            heads = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = [re.sub(r"[^\w\- ]", "", head.lower()).replace(" ", "-") for head in heads]
            assert anchor in slugs, (path, anchor)


def test_every_file_that_the_floor_plan_names_exists():
    text = (ROOT / "docs" / "decisions" / "0016-the-floor-plan.md").read_text(encoding="utf-8")
    table = [line for line in text.partition("| to do |")[2].splitlines() if line.startswith("| ")]
    files = [file for line in table for file in re.findall(r"`(\w+/[\w/.]+)`", line)]
    assert len(files) >= 10
    assert [file for file in files if not (ROOT / file).is_file()] == []


def test_the_page_on_policies_shows_the_template_as_it_is():
    template = (ROOT / "configs" / "policy" / "template.yaml").read_text(encoding="utf-8")
    assert template.strip() in (ROOT / "docs" / "policies.md").read_text(encoding="utf-8")


def test_readme_is_short():
    assert len(README.read_text(encoding="utf-8").splitlines()) <= LINES_AT_MOST
