"""Each condition is computed, attested or open; a file of attestations is checked, kept and derived again."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import shutil

import pytest
import yaml
from typer.testing import CliRunner

from forecasting.errors import InputError, StepError
from pipelines.cli.main import app
from pipelines.evidence.attestations import ATTESTATIONS, check_documents, read_attestations, template
from pipelines.evidence.manifest import write_manifest
from pipelines.evidence.records import as_json
from pipelines.evidence.step import write_evidence
from pipelines.evidence.verdicts import MET, NOT_MET, NOT_SHOWN, OPEN, together
from pipelines.evidence.verify import verify
from pipelines.runtime.config.loader import load_policy

RULE = load_policy("bis_2026_01")
TODAY = dt.date(2026, 11, 27)
REPORT = b"All units meet their data sheet.\n"
ATTESTED = {
    "statement": "Every unit of shipment 7 was tested in Austin and meets its data sheet.",
    "by": "Jane Roe, head of trade compliance, Example Inc.",
    "date": dt.date(2026, 11, 2),
    "document": "Test report 2026-118",
    "sha256": hashlib.sha256(REPORT).hexdigest(),
    "file": "papers/report.txt",
}


def written(folder, conditions, policy="bis_2026_01"):
    """A file of attestations in a folder, with the report beside it."""
    (folder / "papers").mkdir(parents=True, exist_ok=True)
    (folder / "papers" / "report.txt").write_bytes(REPORT)
    path = folder / "mine.yaml"
    path.write_text(yaml.safe_dump({"policy": policy, "attestations": conditions}), encoding="utf-8")
    return path


def laboratory(**changes):
    return {"independent_laboratory": {**ATTESTED, **changes}}


def test_an_attestation_says_who_when_and_by_which_document(tmp_path):
    others = {"know_your_customer": {key: value for key, value in ATTESTED.items() if key != "file"}}
    path = written(tmp_path, laboratory() | others)
    known, tested = read_attestations(path, RULE, day=TODAY)  # in the order of the rule
    assert (known.condition, known.checked) == ("know_your_customer", False)
    assert (tested.condition, tested.checked) == ("independent_laboratory", True)
    assert (tested.by, tested.date, tested.document) == (
        ATTESTED["by"],
        ATTESTED["date"],
        ATTESTED["document"],
    )


@pytest.mark.parametrize(
    ("conditions", "sentence"),
    [
        (
            {"laboratory": ATTESTED},
            "key attestations.laboratory: the policy has no such condition: expected one",
        ),
        (
            {"cap": ATTESTED},
            "key attestations.cap: the condition is computed from data and cannot be attested",
        ),
        (
            laboratory(date=dt.date(2026, 11, 28)),
            "date: nothing can have been attested on a day to come: expected 20",
        ),
        (
            laboratory(sha256="0" * 64),
            "file: the document is not the one that was attested: expected SHA-256 000",
        ),
        (laboratory(sha256="ABC"), "sha256: a SHA-256 has 64 hexadecimal digits in lower case"),
        (laboratory(file="papers/lost.txt"), "file: the document cannot be found"),
        (laboratory(by=" "), "by: an attestation leaves nothing empty"),
        (laboratory(statment="x"), "unknown key: found 'statment'; did you mean 'statement'?"),
        ({}, "the file attests nothing"),
        (None, "the file attests nothing"),
    ],
)
def test_an_attestation_that_is_not_in_order_is_one_sentence(tmp_path, conditions, sentence):
    path = written(tmp_path, conditions)
    with pytest.raises(InputError) as refused:
        read_attestations(path, RULE, day=TODAY)
    assert sentence in str(refused.value)
    assert str(path) in str(refused.value)
    assert refused.value.exit_code == 2


def test_attestations_of_another_policy_are_refused(tmp_path):
    path = written(tmp_path, laboratory(), policy="scale_act_2026")
    with pytest.raises(InputError, match="of another policy: expected bis_2026_01, found 'scale_act_2026'"):
        read_attestations(path, RULE, day=TODAY)


@pytest.mark.parametrize(
    ("computed", "open_conditions", "verdict"),
    [
        ([MET], 0, MET),
        ([MET], 1, OPEN),
        ([MET, NOT_SHOWN], 0, NOT_SHOWN),
        ([NOT_SHOWN, NOT_MET], 3, NOT_MET),
    ],
)
def test_an_open_condition_never_lets_all_conditions_read_as_met(computed, open_conditions, verdict):
    assert together(computed, open_conditions=open_conditions) == verdict


def test_conditions_stand_in_the_order_of_the_rule_with_their_kinds(content):
    names = [each["condition"] for each in content["conditions"]]
    parts = dict.fromkeys(name.partition(".")[0] for name in names)
    assert tuple(parts) == RULE.order
    kinds = {each["condition"]: each["kind"] for each in content["conditions"]}
    assert kinds["foundry_capacity"] == "computed"
    assert {name for name, kind in kinds.items() if kind == "open"} == set(RULE.attestable) - {
        "foundry_capacity"
    }
    assert all(each["section"] and each["certainty"] for each in content["conditions"])
    counted = content["overall"]
    assert counted["conditions"] == len(names) == counted["computed"] + counted["open"]
    assert f"{counted['open']} open" in counted["sentence"]
    assert {row["all_conditions_next_period"] for row in content["headline"] if row["steps"]} <= {
        "not met",
        "cannot be shown from data",
        "open",
    }


def test_foundry_capacity_parts_the_units_into_stock_and_new_production(content):
    [condition] = [each for each in content["conditions"] if each["condition"] == "foundry_capacity"]
    rows = {(row["chip"], row["scope"]): row for row in content["headline"] if row["steps"]}
    for found in condition["findings"]:
        if found["quantiles"]:
            row = rows[found["chip"], found["scope"]]
            assert found["quantiles"] == pytest.approx(row["new_units"])
        assert found["verdict"] != "not met"
    h200 = rows["H200", "product"]
    assert h200["stock_units"]["q90"] <= 500_000
    for level, units in h200["units"].items():
        assert max(h200["stock_units"][level], h200["new_units"][level]) <= units + 1e-6


def test_chips_outside_every_duty_band_are_named(content):
    outside = {each["chip"] for each in content["duty"]["rates"] if each["outside_bands"]}
    assert {"H100", "MI300X"} <= outside
    assert not {"H200", "MI325X"} & outside


@pytest.fixture(scope="module")
def attested(whole_run, tracker, tmp_path_factory):
    """Evidence with every condition attested, and its file of attestations."""
    folder = tmp_path_factory.mktemp("attested")
    path = written(folder, dict.fromkeys(RULE.attestable, ATTESTED))
    run = whole_run.run_ids["windows"]
    return write_evidence(tracker, folder / "evidence", windows_run_id=run, attestations=path), path


def test_attested_evidence_counts_none_open_and_keeps_the_file(attested, quick_verify):
    made, path = attested
    content = as_json(made.content)
    assert content["overall"]["open"] == 0
    assert content["overall"]["attested"] == len(RULE.attestable) - 1  # foundry capacity is computed as well
    assert (made.out / ATTESTATIONS).read_bytes() == path.read_bytes()
    assert {each["condition"] for each in content["conditions"] if each["attestation"]} == set(
        RULE.attestable
    )
    page = (made.out / "evidence.html").read_text(encoding="utf-8")
    assert ATTESTED["statement"] in page
    assert ATTESTED["sha256"] in page
    checked = quick_verify(made.out, documents=path.parent / "papers")["attestations"]
    assert "all found with the stated SHA-256" in checked
    assert "not looked up" in quick_verify(made.out)["attestations"]


def test_attestations_that_were_changed_or_removed_afterwards_are_found(
    attested, tmp_path, quick_verify, rewrite
):
    made, _ = attested
    forged = shutil.copytree(made.out, tmp_path / "forged")
    rewrite(forged, lambda content: content["attestations"][0].update(by="Somebody else"))
    with pytest.raises(StepError, match=r"attestations\[0\]\.by does not follow from the stored artifacts"):
        quick_verify(forged)
    edited = shutil.copytree(made.out, tmp_path / "edited")
    text = (edited / ATTESTATIONS).read_text(encoding="utf-8")
    (edited / ATTESTATIONS).write_text(text.replace("Jane Roe", "John Doe"), encoding="utf-8")
    with pytest.raises(StepError, match=rf"{ATTESTATIONS}: the file was changed"):
        quick_verify(edited)
    write_manifest(edited)
    with pytest.raises(StepError, match="does not follow from the stored artifacts"):
        quick_verify(edited)
    lost = shutil.copytree(made.out, tmp_path / "lost")
    (lost / ATTESTATIONS).unlink()
    write_manifest(lost)
    with pytest.raises(StepError, match="does not follow from the stored artifacts"):
        quick_verify(lost)


def test_a_document_that_is_not_there_or_another_is_found(tmp_path):
    path = written(tmp_path, laboratory())
    said = read_attestations(path, RULE, day=TODAY)
    assert check_documents(said, tmp_path / "papers") == 1
    (tmp_path / "papers" / "report.txt").write_bytes(b"Another report.\n")
    with pytest.raises(StepError, match="no file is the document of independent_laboratory"):
        check_documents(said, tmp_path / "papers")
    with pytest.raises(InputError, match="the documents are in a folder"):
        check_documents(said, tmp_path / "nowhere")


def test_the_template_holds_every_condition_and_is_read_once_filled_in(tmp_path):
    text = template(RULE)
    assert max(map(len, text.splitlines())) <= 120
    with pytest.raises(InputError, match="attests nothing"):
        read_attestations(_file(tmp_path, text), RULE, day=TODAY)
    filled = text.replace("its SHA-256, as sha256sum prints it", "a" * 64)
    lines = [line for line in filled.splitlines() if "file:" not in line]
    fields = ("statement", "by", "date", "document", "sha256", *RULE.attestable)
    wanted = [
        line.replace("# ", "", 1)
        if line.startswith("  # ") and line[4:].strip().split(":")[0] in fields
        else line
        for line in lines
    ]
    said = read_attestations(_file(tmp_path, "\n".join(wanted)), RULE, day=TODAY)
    assert tuple(each.condition for each in said) == RULE.attestable
    with pytest.raises(InputError, match="lists no condition to attest"):
        template(load_policy("presumption_of_denial"))
    shown = CliRunner().invoke(app, ["evidence", "template", "--policy", "bis_2026_01"])
    assert (shown.exit_code, shown.stdout) == (0, text)


def _file(folder, text):
    path = folder / "filled.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def test_a_bad_attestation_writes_nothing_and_exits_with_2(whole_run, store_uri, tmp_path):
    path = written(tmp_path, laboratory(sha256="0" * 64))
    store = ["--set", f"tracking.uri={store_uri}", "--set", "tracking.experiment=tests"]
    command = ["evidence", "--windows-run", whole_run.run_ids["windows"], "--attestations", str(path), *store]
    done = CliRunner().invoke(app, [*command, "--out", str(tmp_path / "evidence")])
    assert done.exit_code == 2
    assert "the document is not the one that was attested" in " ".join(done.output.split())
    assert not (tmp_path / "evidence").exists()


def test_verification_in_full_covers_the_attestations(attested):
    made, _ = attested
    assert verify(made.out)["seal"] == made.seal
    assert json.loads((made.out / "evidence.json").read_text(encoding="utf-8"))["attestations"]
