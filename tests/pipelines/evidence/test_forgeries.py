"""Forgers who recompute every hash: what verification finds, and what only a signature can find."""

from __future__ import annotations

import json
import os
import shutil

import polars as pl
import pytest

from forecasting.errors import StepError
from forecasting.panel.schema import content_digest
from pipelines.evidence.content import RecordedFacts, build_evidence
from pipelines.evidence.derive import derive
from pipelines.evidence.manifest import MANIFEST, json_text, write_manifest
from pipelines.evidence.records import Evidence
from pipelines.evidence.signature import generate_key, read_private_key, read_public_key
from pipelines.evidence.step import write_files
from pipelines.evidence.stored import WINDOWS_TABLES, StoredArtifacts
from pipelines.runtime.files.artifacts import file_digest


def shown(content):
    """The first headline with an estimate."""
    return next(row for row in content["headline"] if row["steps"])


def finding(content):
    """The last finding on the cap."""
    return cap(content)["findings"][-1]


def cap(content):
    return next(each for each in content["conditions"] if each["condition"] == "cap")


def run_of(content, step):
    return next(run for run in content["lineage"]["runs"] if run["step"] == step)


def swapped(verdict):
    return "not met" if verdict == "met" else "met"


STATEMENTS = {
    "a verdict": lambda c: finding(c).update(verdict=swapped(finding(c)["verdict"])),
    "the verdict on all conditions": lambda c: shown(c).update(
        all_conditions_next_period=swapped(shown(c)["all_conditions_next_period"])
    ),
    "a probability": lambda c: finding(c).update(probability=0.99),
    "quantiles": lambda c: finding(c)["quantiles"].update(q90=9e9),
    "a sentence of a finding": lambda c: finding(c).update(why="On 99.9 % of 60 paths the cap leaves room."),
    "how it was computed": lambda c: cap(c).update(how="Counted."),
    "a condition in words": lambda c: c["conditions"][0].update(words="Nothing is asked."),
    "a condition removed": lambda c: c["conditions"].pop(),
    "a finding removed": lambda c: cap(c)["findings"].pop(),
    "an open condition as attested": lambda c: c["conditions"][-1].update(kind="attested"),
    "an open condition as met": lambda c: c["conditions"][-1]["findings"][0].update(verdict="met"),
    "the section of a condition": lambda c: c["conditions"][-1].update(section="section 1"),
    "the number of open conditions": lambda c: c["overall"].update(open=0),
    "the sentence on all conditions": lambda c: c["overall"].update(sentence="All is met."),
    "the reading of the text": lambda c: c["policy"]["reading"].update(certainty="H"),
    "stock and new production": lambda c: shown(c)["new_units"].update(q90=123.0),
    "a chip inside the duty bands": lambda c: c["duty"]["rates"][0].update(outside_bands=False),
    "a citation": lambda c: c["conditions"][0].update(citation="91 FR 1"),
    "the certainty of a term": lambda c: cap(c)["terms"][0].update(certainty=None),
    "the note on a term": lambda c: cap(c)["terms"][0].update(note="None."),
    "a threshold": lambda c: cap(c)["terms"][0].update(value=5.0),
    "the rule of verdicts": lambda c: c["basis"].update(verdict_rule="All is met."),
    "the confidence": lambda c: c["basis"].update(confidence=0.1),
    "what was known": lambda c: c["basis"].update(known_until="2030-01-01"),
    "units": lambda c: shown(c)["units"].update(q50=1e6),
    "the share of open paths": lambda c: shown(c)["steps"][0].update(p_open=0.999),
    "a headline removed": lambda c: c["headline"].pop(0),
    "a reading of the cap": lambda c: c["cap_readings"][0]["units"].update(q50=1e6),
    "the duty": lambda c: c["duty"]["rates"][0].update(rate=0.99),
    "the notice": lambda c: c.update(notice=["This is legal advice."]),
    "a caveat removed": lambda c: c["limits"].pop(),
    "the question": lambda c: c.update(question="How good is it?"),
    "the title of the policy": lambda c: c["policy"].update(title="Another rule"),
    "another policy's name": lambda c: c["policy"].update(name="gain_ai_no_backlog"),
    "an assumption": lambda c: c["assumptions"][0].update(value=c["assumptions"][0]["high"]),
    "the reason of an assumption": lambda c: c["assumptions"][0].update(reason="Measured."),
    "an assumption removed": lambda c: c["assumptions"].pop(),
    "the licence of a source": lambda c: c["sources"][0]["described"].update(licence="CC0"),
    "the caution of a source": lambda c: c["sources"][0]["described"].update(cautions=[]),
    "a score": lambda c: c["calibration"]["scores"][0].update(crps=0.001),
    "the reliability": lambda c: c["calibration"]["reliability"].clear(),
    "the calibration hidden": lambda c: c["calibration"].update(shown=False, why="No backtest."),
    "the known case": lambda c: c["calibration"]["known_case"][0].update(p_never=0.0),
    "the forecaster": lambda c: c["model"].update(forecaster="oracle"),
    "the seed": lambda c: c["model"].update(seed=1),
    "the model of an item": lambda c: c["model"]["items"][0].update(model="AutoTheta"),
    "the weights": lambda c: c["model"]["network_card"].update(weights="overspill version 9"),
    "inversions": lambda c: c["priority_inversions"].update(verdict="none found", cases=0),
    "a digest of rows": lambda c: c["row_sets"][0].update(content_sha256="0" * 64),
    "a number of rows": lambda c: c["row_sets"][0].update(rows=12345),
    "a key that is not declared": lambda c: c.update(approved_by="somebody"),
    "a run removed": lambda c: c["lineage"]["runs"].pop(1),
    "runs that do not follow each other": lambda c: run_of(c, "windows").update(upstream_run_id="0" * 32),
    "what the etl run knew": lambda c: run_of(c, "etl").update(known_until="2020-01-01"),
    "the digest of an artifact": lambda c: run_of(c, "etl")["content_sha256"].update(panel="0" * 64),
    "the template": lambda c: c["software"].update(template_sha256="0" * 64),
    "the signer": lambda c: c.update(signed_by="0" * 64),
}


@pytest.mark.parametrize("name", STATEMENTS)
def test_a_changed_statement_is_found_though_document_and_manifest_agree_with_it(
    name, copied, rewrite, quick_verify
):
    rewrite(copied, STATEMENTS[name])
    with pytest.raises(StepError):
        quick_verify(copied)


def record_again(folder, rewrite, step, name):
    """Enter the digests of a changed artifact wherever the evidence lists them."""
    path = folder / "artifacts" / name

    def change(content):
        run = run_of(content, step)
        entry = next(each for each in run["artifacts"] if each["name"] == name)
        entry.update(sha256=file_digest(path), bytes=path.stat().st_size)
        if name.endswith(".parquet"):
            digest = content_digest(pl.read_parquet(path))
            for run in content["lineage"]["runs"]:
                if path.stem in run["content_sha256"]:
                    run["content_sha256"][path.stem] = digest

    rewrite(folder, change)


def change_a_number(path):
    table = pl.read_parquet(path)
    column = next(name for name, dtype in table.schema.items() if dtype.is_float())
    changed = table.with_columns(pl.col(column).fill_null(0.0) * 1.001 + 0.001)
    changed.write_parquet(path)


@pytest.mark.parametrize("name", [*WINDOWS_TABLES, "leaderboard"])
def test_a_replaced_table_is_named_though_every_digest_of_it_was_computed_again(
    name, copied, rewrite, quick_verify
):
    change_a_number(copied / "artifacts" / f"{name}.parquet")
    write_manifest(copied)
    with pytest.raises(StepError, match=rf"{name}\.parquet: the file is not the artifact of the"):
        quick_verify(copied)
    record_again(copied, rewrite, "backtest" if name == "leaderboard" else "windows", f"{name}.parquet")
    with pytest.raises(
        StepError, match=rf"{name}\.parquet: row 1 .*does not follow from the stored artifacts"
    ):
        quick_verify(copied)


@pytest.mark.parametrize(
    ("step", "old", "new"),
    [
        ("windows", "confidence: 0.5", "confidence: 0.4"),
        ("windows", "fill_rate_min: 0.95", "fill_rate_min: 0.5"),
        ("windows", "seed: 20260115", "seed: 7"),
        ("forecast", "model: auto", "model: statistical"),
        ("etl", "low: 0.8", "low: 0.1"),
        ("backtest", "seed: 20260115", "seed: 7"),
    ],
)
def test_edited_settings_are_found(step, old, new, copied, rewrite, quick_verify):
    path = copied / "artifacts" / f"settings-{step}.yaml"
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")
    write_manifest(copied)
    with pytest.raises(StepError, match=rf"settings-{step}\.yaml: the file is not the artifact of the"):
        quick_verify(copied)
    if (step, new) != ("windows", "seed: 7"):  # which no statement depends on
        record_again(copied, rewrite, step, path.name)
        with pytest.raises(StepError, match="does not follow"):
            quick_verify(copied)


def test_paths_that_were_replaced_under_the_old_figures_are_found(copied, rewrite, quick_verify):
    path = copied / "artifacts" / "paths.parquet"
    pl.read_parquet(path).with_columns(pl.col("orders") * 0.5).write_parquet(path)
    record_again(copied, rewrite, "forecast", path.name)
    with pytest.raises(StepError, match="does not follow from the stored artifacts"):
        quick_verify(copied)


def a_stray_file(folder):
    (folder / "remark.txt").write_text("checked by somebody")


def a_stray_artifact(folder):
    (folder / "artifacts" / "approval.parquet").write_bytes(b"")


def an_empty_folder(folder):
    (folder / "annex").mkdir()


def a_folder_among_the_artifacts(folder):
    (folder / "artifacts" / "more").mkdir()


def a_link_in_place_of_a_file(folder):
    (folder / "evidence.html").rename(folder.parent / "page.html")
    (folder / "evidence.html").symlink_to(folder.parent / "page.html")


def a_link_in_place_of_the_artifacts(folder):
    (folder / "artifacts").rename(folder.parent / "elsewhere")
    (folder / "artifacts").symlink_to(folder.parent / "elsewhere")


def a_pipe(folder):
    os.mkfifo(folder / "pipe")


def a_signature_that_nobody_claims(folder):
    (folder / "manifest.sig").write_bytes(bytes(64))


def a_looser_schema(folder):
    (folder / "schema.json").write_text("{}\n")


def another_document(folder):
    path = folder / "evidence.html"
    path.write_text(path.read_text(encoding="utf-8").replace("no legal advice", "legal advice"))


def a_key_given_twice(folder):
    path = folder / "evidence.json"
    path.write_text(path.read_text(encoding="utf-8").replace("{", '{"question": "Which is best?",', 1))


@pytest.mark.parametrize(
    ("tamper", "message"),
    [
        (a_stray_file, r"remark\.txt: the file does not belong"),
        (a_stray_artifact, r"artifacts/approval\.parquet: the file does not belong"),
        (an_empty_folder, "annex: the folder does not belong"),
        (a_folder_among_the_artifacts, "artifacts/more: the folder does not belong"),
        (a_link_in_place_of_a_file, r"evidence\.html: a symbolic link does not belong"),
        (a_link_in_place_of_the_artifacts, "artifacts: a symbolic link does not belong"),
        (a_pipe, "pipe: it is not a regular file"),
        (a_signature_that_nobody_claims, r"manifest\.sig: the file does not belong"),
        (a_looser_schema, r"schema\.json: the file is not the schema"),
        (another_document, r"evidence\.html: the file does not say what"),
        (a_key_given_twice, r"evidence\.json: the file is not written as evidence is"),
    ],
)
def test_what_does_not_belong_to_the_folder_is_refused_by_name(tamper, message, copied, quick_verify):
    tamper(copied)
    if tamper not in {an_empty_folder, a_folder_among_the_artifacts, a_pipe} and "link" not in message:
        write_manifest(copied)
    with pytest.raises(StepError, match=message):
        quick_verify(copied)


def test_a_manifest_that_names_files_outside_the_folder_is_refused(copied, quick_verify):
    (copied.parent / "outside").write_text("x")
    stated = json.loads((copied / MANIFEST).read_text(encoding="utf-8"))
    stated["files"]["../outside"] = {"sha256": file_digest(copied.parent / "outside"), "bytes": 1}
    (copied / MANIFEST).write_text(json_text(stated), encoding="utf-8")
    with pytest.raises(StepError, match="it is not sealed by its own"):
        quick_verify(copied)


def forge_inputs(folder, change, key=None):
    """Change an input and derive all the rest by the honest code."""
    artifacts_folder = folder / "artifacts"
    change(artifacts_folder)
    before = Evidence.model_validate_json((folder / "evidence.json").read_text(encoding="utf-8"))
    inputs = StoredArtifacts(artifacts_folder, before.lineage.runs).inputs(before.policy.name)
    derived = derive(inputs)
    for name, table in derived.tables.items():
        table.write_parquet(artifacts_folder / f"{name}.parquet")
    digests = {
        path.stem: content_digest(pl.read_parquet(path)) for path in artifacts_folder.glob("*.parquet")
    }
    runs = tuple(
        run.model_copy(
            update={
                "content_sha256": {name: digests.get(name, old) for name, old in run.content_sha256.items()},
                "artifacts": tuple(
                    each.model_copy(
                        update={"sha256": file_digest(file), "bytes": file.stat().st_size}
                        if (file := artifacts_folder / each.name).is_file() and each.name in owned(run)
                        else {}
                    )
                    for each in run.artifacts
                ),
            }
        )
        for run in before.lineage.runs
    )
    artifacts = StoredArtifacts(artifacts_folder, runs)
    facts = RecordedFacts.stated(
        before.model_copy(update={"lineage": before.lineage.model_copy(update={"runs": runs})})
    )
    write_files(folder, build_evidence(artifacts, inputs, derived, facts), key)


def owned(run):
    from pipelines.evidence.stored import copied_names

    return copied_names(run)


def halve_us_orders(artifacts):
    path = artifacts / "paths.parquet"
    pl.read_parquet(path).with_columns(pl.col("orders") * 0.5).write_parquet(path)


def test_a_consistent_forgery_of_the_inputs_is_found_by_the_signature_alone(
    signed, signing_key, tmp_path, quick_verify
):
    trusted = read_public_key(signing_key.with_name("signer.pub"))
    folder = shutil.copytree(signed.out, tmp_path / "evidence")
    assert "by the given key" in quick_verify(folder, key=trusted)["signature"]
    forge_inputs(folder, halve_us_orders)
    with pytest.raises(StepError, match=r"manifest\.sig: the file does not belong to evidence that is not"):
        quick_verify(folder)  # the forger has no key, so the manifest names none

    generate_key(tmp_path / "forger")
    forger = read_private_key(tmp_path / "forger")
    for name in ("manifest.sig", "signer.pub"):
        (folder / name).unlink()
    from pipelines.evidence.signature import fingerprint

    restate(folder, fingerprint(forger.public_key()), forger)
    assert "which is the folder's own" in quick_verify(folder)["signature"]
    with pytest.raises(StepError, match=r"manifest\.json: it is signed by the key .*; expected the key"):
        quick_verify(folder, key=trusted)

    for name in ("manifest.sig", "signer.pub"):
        (folder / name).unlink()
    restate(folder, None, None)
    assert quick_verify(folder)["signature"].startswith("none: the folder agrees with itself")
    with pytest.raises(StepError, match=r"manifest\.json: it is not signed; expected the key"):
        quick_verify(folder, key=trusted)


def restate(folder, signed_by, key):
    """Write the folder again as that of another signer."""
    content = Evidence.model_validate_json((folder / "evidence.json").read_text(encoding="utf-8"))
    write_files(folder, content.model_copy(update={"signed_by": signed_by}), key)
