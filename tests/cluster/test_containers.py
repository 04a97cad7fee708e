"""The container recipes, as far as they can be checked without an engine that builds them."""

from __future__ import annotations

import fnmatch
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "configs" / "cluster" / "containers"
BIN = Path(sys.executable).parent
# apptainer.org/docs/user/main/definition_files.html: the sections of a definition, and those that hold shell.
SECTIONS = {
    "arguments",
    "setup",
    "files",
    "environment",
    "post",
    "runscript",
    "startscript",
    "test",
    "labels",
    "help",
}
SHELL = {"environment", "post", "runscript", "startscript", "test"}


def arguments(name: str) -> dict[str, str]:
    """NAME=value lines, as ``docker --build-arg`` and ``apptainer --build-arg-file`` take them."""
    return dict(line.split("=", 1) for line in (FOLDER / name).read_text().splitlines())


def definition(text: str) -> tuple[dict[str, str], dict[str, str]]:
    """Header and sections of an Apptainer definition.

    Raises
    ------
    ValueError
        Where a section is unknown or given twice, or the header has no ``Bootstrap`` and ``From``.
    """
    header: dict[str, str] = {}
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in text.splitlines():
        if found := re.match(r"%(\S+)", line):
            name = found[1]
            if name not in SECTIONS or name in sections:
                raise ValueError(f"section %{name} is unknown or given twice")
            current = sections.setdefault(name, [])
        elif current is not None:
            current.append(line)
        elif line.strip() and not line.startswith("#"):
            key, colon, value = line.partition(":")
            if not colon:
                raise ValueError(f"header line without a colon: {line}")
            header[key.strip().lower()] = value.strip()
    if not {"bootstrap", "from"} <= header.keys():
        raise ValueError("the header needs Bootstrap and From")
    return header, {name: "\n".join(lines) for name, lines in sections.items()}


@pytest.fixture(scope="module")
def apptainer():
    return definition((FOLDER / "overspill.def").read_text())


@pytest.fixture(scope="module")
def dockerfile():
    """The instructions of the Dockerfile, one string each."""
    text = re.sub(r"^#.*\n", "", (FOLDER / "Dockerfile").read_text(), flags=re.MULTILINE)
    return [line for line in text.replace("\\\n", " ").splitlines() if line.strip()]


def instructions(dockerfile: list[str], name: str) -> list[str]:
    return [line.partition(" ")[2].strip() for line in dockerfile if line.startswith(f"{name} ")]


def hadolint(path: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([BIN / "hadolint", path], check=False, capture_output=True, text=True)


def test_hadolint_finds_nothing_in_the_dockerfile():
    found = hadolint(FOLDER / "Dockerfile")
    assert found.returncode == 0, found.stdout


def test_hadolint_finds_an_unpinned_base_image(tmp_path):
    broken = tmp_path / "Dockerfile"
    broken.write_text("FROM ubuntu:latest\nRUN apt-get install python3\n")
    assert "DL3007" in hadolint(broken).stdout


def test_the_image_ends_as_a_user_with_a_number_that_is_not_root_and_starts_overspill_under_an_init(
    dockerfile,
):
    assert instructions(dockerfile, "USER") == ["10001:10001"]
    assert dockerfile.index("USER 10001:10001") > max(
        i for i, line in enumerate(dockerfile) if line.startswith(("FROM", "RUN", "COPY"))
    )
    assert instructions(dockerfile, "ENTRYPOINT") == ['["/usr/bin/tini", "--", "overspill"]']


def test_both_recipes_take_their_base_and_torch_from_the_same_two_arguments(dockerfile, apptainer):
    header, sections = apptainer
    cuda = arguments("cuda.args")
    assert dict(each.split("=", 1) for each in instructions(dockerfile, "ARG")) == cuda
    assert dict(line.strip().split("=", 1) for line in sections["arguments"].split()) == cuda
    assert header == {"bootstrap": "docker", "from": "{{ BASE_IMAGE }}"}
    used = set(re.findall(r"\{\{ (\w+) \}\}", (FOLDER / "overspill.def").read_text()))
    assert used == cuda.keys() == arguments("rocm.args").keys()


@pytest.mark.parametrize("name", ["cuda.args", "rocm.args"])
def test_base_images_are_pinned_by_version(name):
    image, _, tag = arguments(name)["BASE_IMAGE"].rpartition(":")
    assert image
    assert re.match(r"\d+\.\d+\.\d+", tag), tag


def test_base_and_torch_speak_of_the_same_version_of_the_vendor_s_libraries():
    cuda, rocm = arguments("cuda.args"), arguments("rocm.args")
    major, minor, _ = re.search(r":(\d+)\.(\d+)\.(\d+)", cuda["BASE_IMAGE"]).groups()
    assert cuda["TORCH_INDEX"].endswith(f"/cu{major}{minor}")
    major, minor, _ = re.search(r":(\d+)\.(\d+)\.(\d+)", rocm["BASE_IMAGE"]).groups()
    assert rocm["TORCH_INDEX"].endswith(f"/rocm{major}.{minor}")


def steps(text: str, command: str) -> list[list[str]]:
    """The words of each ``pip install`` or ``apt-get install`` in a shell text."""
    found = re.findall(rf"{command} install (.*?)(?:&&|\n|$)", text)
    return [sorted(shlex.split(each.strip())) for each in found]


def test_both_recipes_install_the_same(dockerfile, apptainer):
    docker, post = (
        "\n".join(instructions(dockerfile, "RUN")),
        apptainer[1]["post"].replace("{{ TORCH_INDEX }}", "X"),
    )
    assert steps(docker.replace("${TORCH_INDEX}", "X"), "pip") == steps(post, "pip")
    packages = {word for words in steps(docker, "apt-get") for word in words}
    assert packages == {word for words in steps(post, "apt-get") for word in words}


def test_torch_comes_first_and_alone_and_all_else_by_the_constraints(apptainer):
    first, *rest = steps(apptainer[1]["post"], "pip")
    assert "$(grep '^torch==' constraints.txt)" in " ".join(first)
    assert all("constraints.txt" in words and "--index-url" not in words for words in rest)
    pins = re.findall(r"^torch==.*$", (ROOT / "constraints.txt").read_text(), re.MULTILINE)
    assert len(pins) == 1


def test_what_is_copied_exists_and_passes_the_ignore_file_which_shuts_out_the_rest(dockerfile, apptainer):
    allowed = {
        line[1:]
        for line in (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
        if line.startswith("!")
    }
    copies = [each.split() for each in instructions(dockerfile, "COPY") if not each.startswith("--from")]
    copied = {source for words in copies for source in words[:-1]}
    assert copied == allowed
    assert copied == {line.split()[0] for line in apptainer[1]["files"].splitlines() if line.strip()}
    assert all((ROOT / each).exists() for each in copied)
    assert not any(
        fnmatch.fnmatch(each, pattern) for each in (".git", "mlruns", "shared") for pattern in allowed
    )


def test_what_is_copied_is_enough_to_build_the_wheel(apptainer, tmp_path):
    source = tmp_path / "src"
    source.mkdir()
    for name in (line.split()[0] for line in apptainer[1]["files"].splitlines() if line.strip()):
        given = ROOT / name
        copy = shutil.copytree if given.is_dir() else shutil.copy
        copy(given, source / name)
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", tmp_path, source]
    subprocess.run(build, check=True, capture_output=True)
    assert list(tmp_path.glob("overspill-*.whl"))


def test_no_recipe_names_a_credential(dockerfile):
    text = "\n".join(dockerfile) + (FOLDER / "overspill.def").read_text()
    assert not re.search(r"password|secret|token|credential|\bAWS_", text, re.IGNORECASE)


def test_shellcheck_finds_nothing_in_the_definition_s_shell(apptainer, tmp_path):
    for name in SHELL & apptainer[1].keys():
        script = tmp_path / f"{name}.sh"
        script.write_text(f"#!/bin/sh\n{apptainer[1][name]}\n")
        found = subprocess.run([BIN / "shellcheck", script], check=False, capture_output=True, text=True)
        assert found.returncode == 0, f"%{name}\n{found.stdout}"


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("Bootstrap: docker\nFrom: x\n%pots\n  true\n", "section %pots is unknown"),
        ("Bootstrap: docker\nFrom: x\n%post\n%post\n", "given twice"),
        ("Bootstrap: docker\n%post\n  true\n", "needs Bootstrap and From"),
        ("Bootstrap docker\n", "without a colon"),
    ],
)
def test_a_broken_definition_is_refused(text, says):
    with pytest.raises(ValueError, match=says):
        definition(text)
