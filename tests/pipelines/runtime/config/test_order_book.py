"""A mapping file names a vendor's columns, SKUs and chips; a chip of one's own is measured as any other."""

from __future__ import annotations

import datetime as dt

import pytest

from forecasting.errors import InputError
from forecasting.policy.eligibility import eligibility
from pipelines.etl.order_book.files.recipe import recipe
from pipelines.runtime.config.loader import dump, flatten, load_policy, resolve

MAPPING = """
time_zone: America/New_York
columns: {order_id: Auftrag, quantity: Menge}
skus: {ACM-1-SXM: ACME-1, 900-21010: H200}
chips:
  ACME-1:
    vendor: acme
    family: Acme 1 line
    launched: 2025-05-01
    fp16_dense_tflops: 600
    fp8_dense_tflops: 1200
    memory_bandwidth_gb_per_s: 4800
    interconnect_gb_per_s: 900
"""


def resolved(tmp_path, text=MAPPING, *overrides):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return resolve("order_book", [f"data.mapping={path}", *overrides])


def test_mapping_file_goes_on_top_of_the_order_books_settings_and_overrides_on_top_of_both(tmp_path):
    data = resolved(tmp_path, MAPPING, "data.time_zone=Asia/Tokyo").data
    assert data.kind == "order_book"
    assert data.columns == {"order_id": "Auftrag", "quantity": "Menge"}
    assert data.time_zone == "Asia/Tokyo"
    assert data.capacity_decay.value == resolve("order_book").data.capacity_decay.value


def test_dumped_settings_resolve_to_the_same_settings_without_the_mapping_file(tmp_path):
    settings = resolved(tmp_path)
    (tmp_path / "mine.yaml").unlink()
    (tmp_path / "dumped.yaml").write_text(dump(settings))
    assert resolve(str(tmp_path / "dumped.yaml")) == settings


def test_public_data_stay_the_default():
    assert resolve().data.kind == "public"


def test_specs_of_an_own_chip_give_its_tpp_and_its_eligibility(tmp_path):
    data = resolved(tmp_path).data
    chip = data.catalogue["ACME-1"]
    assert chip.tpp == 600 * 16 == 1200 * 8
    assert chip.launch_quarter_end == dt.date(2025, 6, 30)
    assert chip.interconnect_gb_per_s == 900
    verdict = eligibility(chip, load_policy("bis_2026_01"), chips=data.catalogue.values())
    assert verdict.eligible
    assert verdict.reasons[0] == "TPP 9,600 is below 21,000"
    faster = MAPPING.replace("fp8_dense_tflops: 1200", "fp8_dense_tflops: 3000")
    strong = resolved(tmp_path, faster).data.catalogue["ACME-1"]
    assert eligibility(strong, load_policy("bis_2026_01")).reasons == ("TPP 24,000 is not below 21,000",)


def test_skus_are_those_of_the_mapping_and_the_names_of_the_chips_themselves(tmp_path):
    chips = resolved(tmp_path).data.chip_of_sku
    found = {sku: chips[sku].chip_id for sku in ("ACM-1-SXM", "900-21010", "H200", "ACME-1")}
    assert found == {"ACM-1-SXM": "ACME-1", "900-21010": "H200", "H200": "H200", "ACME-1": "ACME-1"}


@pytest.mark.parametrize(
    ("before", "after", "sentence"),
    [
        (
            "900-21010: H200",
            "900-21010: H2O0",
            r"mine\.yaml, key data\.skus: the catalogue has no such chip: expected for instance H20",
        ),
        (
            "ACME-1:\n",
            "H200:\n",
            r"mine\.yaml, key data\.chips: a chip of your own needs a name that the catalogue does not hold",
        ),
        (
            "    fp16_dense_tflops: 600\n    fp8_dense_tflops: 1200\n",
            "",
            r"key data\.chips\.ACME-1: a chip needs a dense rate in at least one number format",
        ),
        (
            "Acme 1 line",
            "H200",
            "a family needs a name of its own: expected no chip's, found 'H200'",
        ),
        (
            "    family",
            "    successor: ACME-9\n    family",
            "no such chip: expected for instance ACME-1, found 'ACME-9'",
        ),
        (
            "order_id:",
            "orderid:",
            "order lines have no such column .*: expected keys out of order_id, .*found orderid",
        ),
        ("America/New_York", "Mars/Olympus", r"mine\.yaml, key data\.time_zone: there is no such time zone"),
        (
            "time_zone",
            "timezone",
            r"mine\.yaml, key data\.timezone: unknown key: found 'timezone'; did you mean 'time_zone'",
        ),
        (
            "vendor",
            "vendr",
            r"key data\.chips\.ACME-1\.vendr: unknown key: found 'vendr'; did you mean 'vendor'",
        ),
        ("4800", "-1", r"key data\.chips\.ACME-1\.memory_bandwidth_gb_per_s: .*greater than 0: found -1"),
    ],
)
def test_mistake_in_a_mapping_file_is_told_in_one_sentence(tmp_path, before, after, sentence):
    assert before in MAPPING
    with pytest.raises(InputError, match=sentence) as refused:
        resolved(tmp_path, MAPPING.replace(before, after))
    assert "\n" not in str(refused.value)


def test_missing_mapping_file_is_named():
    with pytest.raises(InputError, match=r"nowhere\.yaml: the mapping file does not exist"):
        resolve("order_book", ["data.mapping=nowhere.yaml"])


@pytest.mark.parametrize(("key", "text"), [("path", "*.csv"), ("date_format", "%d.%m.%Y")])
def test_globs_and_date_formats_need_no_quotes_of_yaml(key, text):
    assert getattr(resolve("order_book", [f"data.{key}={text}"]).data, key) == text


def test_unknown_kind_of_data_is_refused():
    with pytest.raises(InputError, match="'public', 'order_book'"):
        resolve("order_book", ["data.kind=ledger"])


def test_secrets_of_an_object_store_are_neither_printed_nor_recorded(tmp_path):
    settings = resolved(tmp_path, "storage_options: {aws_secret_access_key: hush-hush}")
    assert "hush-hush" not in dump(settings)
    assert "hush-hush" not in str(flatten(settings))
    assert "hush-hush" not in repr(settings)
    made = recipe(settings.data, today=dt.date(2026, 1, 1))
    assert "hush-hush" not in repr(made)
    assert made.storage_options == {"aws_secret_access_key": "hush-hush"}


def test_numbers_and_switches_of_an_object_store_are_taken_as_text(tmp_path):
    text = "storage_options: {aws_secret_access_key: 12345678901234567, aws_allow_http: true}"
    options = resolved(tmp_path, text).data.storage_options
    assert {key: value.get_secret_value() for key, value in options.items()} == {
        "aws_secret_access_key": "12345678901234567",
        "aws_allow_http": "true",
    }


@pytest.mark.parametrize("value", ["[hush-hush]", "{a: hush-hush}", "null"])
def test_option_of_an_object_store_that_is_no_text_is_refused_without_showing_it(value):
    with pytest.raises(InputError, match="found something that is not shown") as refusal:
        resolve("order_book", [f"data.storage_options.aws_secret_access_key={value}"])
    assert "hush-hush" not in str(refusal.value)


def test_fingerprint_tells_recipes_apart_but_not_days_or_secrets(tmp_path):
    def fingerprint(*overrides):
        return recipe(resolved(tmp_path, MAPPING, *overrides).data, today=dt.date(2026, 1, 1)).fingerprint

    same = fingerprint()
    assert fingerprint("data.as_of=2025-12-31") == same
    assert fingerprint("data.storage_options={aws_region: us-east-1}") == same
    assert fingerprint("data.exports={}") == same
    changes = [
        "frequency=M",
        "time_zone=UTC",
        "week_end=Friday",
        "separator=';'",
        "skus={A: H100}",
        "normal_lead_weeks=9",
    ]
    changed = {fingerprint(f"data.{change}") for change in changes}
    assert len(changed | {same}) == len(changes) + 1
