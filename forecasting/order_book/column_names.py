"""What order systems call the columns of an order line, and which of a file's columns each one is."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

from forecasting.order_book.schema import COLUMNS

# Compared without case, blanks and punctuation: SAP tables and common exports, in English and German.
NAMES: dict[str, str] = {
    "order_id": "order no|order number|order|sales order|sales document|so number"
    "|vbeln|auftrag|auftragsnummer",
    "line": "line no|line number|order line|item|item no|position|pos|posnr",
    "split": "schedule line|split no|etenr|einteilung",
    "sku": "article|article no|article number|material|material number|matnr|part"
    "|part number|product|item code",
    "customer_id": "customer|customer no|customer number|sold to|sold to party|kunnr"
    "|account|kunde|kundennummer",
    "customer_country": "sold to country|bill to country|customer land|kundenland|country of customer",
    "end_use_country": "ship to country|destination country|destination|country of end use"
    "|country of use|end user country|end use|verwendungsland",
    "quantity": "qty|order qty|order quantity|ordered quantity|quantity ordered|units"
    "|menge|bestellmenge|kwmeng",
    "ordered_at": "order date|ordered|ordered on|date of order|created on|bestelldatum|auftragsdatum|audat",
    "requested_at": "requested date|requested|request date|requested delivery date|rdd"
    "|required date|need by|wunschtermin|wunschlieferdatum",
    "promised_at": "promised date|promise date|promised|confirmed date|committed date|zugesagt|liefertermin",
    "shipped_at": "ship date|shipped|shipped on|shipment date|shipping date"
    "|actual ship date|goods issue date|versanddatum",
    "shipped_quantity": "shipped qty|qty shipped|quantity shipped|delivered quantity"
    "|delivered qty|liefermenge",
    "cancelled_at": "cancelled|canceled|canceled at|cancel date|cancellation date|cancelled on|stornodatum",
    "unit_price": "price|net price|price per unit|preis|netpr",
    "updated_at": "updated|last updated|last modified|changed on|modified at|version date",
    "return_reason": "reason for return|reason|rejection reason|retourengrund",
}
CLOSE = 0.86  # likeness of two names that are taken for one, misspelt


def name_key(name: str) -> str:
    """A column's name as it is compared: letters and digits in small letters."""
    return "".join(letter for letter in name.casefold() if letter.isalnum())


def matched_columns(header: Sequence[str]) -> dict[str, str]:
    """Ours: the file's, for each of our columns that is found; no column of the file is taken twice.

    Exact names go first, then names that order systems use, then misspelt ones.

    >>> matched_columns(["Order No", "Article", "Ship-to Country", "Pos"])
    {'order_id': 'Order No', 'line': 'Pos', 'sku': 'Article', 'end_use_country': 'Ship-to Country'}
    """
    found: dict[str, str] = {}
    for accepts in (_is_own, _is_known, _is_close):
        for ours in COLUMNS:
            free = [name for name in header if name not in found.values()]
            if ours not in found and (taken := next((n for n in free if accepts(ours, n)), None)) is not None:
                found[ours] = taken
    return {ours: found[ours] for ours in COLUMNS if ours in found}


def _is_own(ours: str, name: str) -> bool:
    return name_key(ours) == name_key(name)


def _is_known(ours: str, name: str) -> bool:
    return name_key(name) in {name_key(each) for each in NAMES[ours].split("|")}


def _is_close(ours: str, name: str) -> bool:
    known = [name_key(each) for each in (ours, *NAMES[ours].split("|"))]
    return bool(difflib.get_close_matches(name_key(name), known, n=1, cutoff=CLOSE))
