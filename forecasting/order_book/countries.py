"""Countries of order lines: ISO 3166-1 alpha-2 codes, as in the IANA time zone database, and their names.

What goes to Puerto Rico or another territory of the United States is no export: "United States" in the Export
Administration Regulations includes the Commonwealth of Puerto Rico, and all territories, dependencies, and
possessions of the United States (15 CFR 772.1, "United States"; cited from memory, not looked up: grade M).
The rules on exports to China and Macau cover Hong Kong, which the Export Administration Regulations have not
treated as a destination apart from China since December 2020 (85 FR 83765; cited from memory, grade M).
"""

from __future__ import annotations

import functools
import re
import unicodedata
from collections.abc import Mapping
from types import MappingProxyType

import polars as pl

from forecasting.order_book.country_names import AMBIGUOUS, NAMES

US = "US"
US_TERRITORIES = ("AS", "GU", "MP", "PR", "UM", "VI")
UNITED_STATES = frozenset({US, *US_TERRITORIES})
CHINA_AND_MACAU = frozenset({"CN", "HK", "MO"})
CODES = """
    AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW
    BY BZ CA CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI
    FJ FK FM FO FR GA GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN
    IO IQ IR IS IT JE JM JO JP KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME
    MF MG MH MK ML MM MN MO MP MQ MR MS MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF
    PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV
    SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE
    YT ZA ZM ZW
"""
COUNTRIES = tuple(CODES.split())
LONGEST_CODE = 3
AS_CODE = re.compile(r"(?:the\s+)?[a-z](?:\.? ?[a-z]){1,2}\.?", re.IGNORECASE)
NAMIBIA = "NA"  # in any other writing "not available"


def is_us_end_use() -> pl.Expr:
    """Whether the goods of a line are used in the United States, its territories among them."""
    return pl.any_horizontal(pl.col("end_use_country") == country for country in sorted(UNITED_STATES))


def country_key(name: str) -> str:
    """A name as it is compared: letters only, without case, accents and a leading article.

    >>> country_key("  Côte d'Ivoire"), country_key("The Bahamas"), country_key("St. Kitts & Nevis")
    ('cotedivoire', 'bahamas', 'saintkittsandnevis')
    """
    plain = unicodedata.normalize("NFKD", name).casefold().replace("&", " and ").strip()
    plain = re.sub(r"\bst\b\.?(?=\s*\w)", "saint", re.sub(r"^the\s+", "", plain))
    return "".join(letter for letter in plain if letter.isalpha())


def country_code(name: str) -> str | None:
    """Alpha-2 code of a country's code or name; None where it is not known, or shared by several.

    A code is written as one, with or without points: "n/a" and "na" are not Namibia, "I/O" is none.

    >>> country_code("Korea, Rep."), country_code("U.S.A."), country_code("Korea")
    ('KR', 'US', None)
    >>> country_code("NA"), country_code("N-A"), country_code("na")
    ('NA', None, None)
    """
    key, written = country_key(name), name.strip()
    is_short = len(key) <= LONGEST_CODE
    if any(letter.isdigit() for letter in name) or (is_short and not AS_CODE.fullmatch(written)):
        return None
    return None if key == NAMIBIA.lower() and written != NAMIBIA else _codes().get(key)


def ambiguous_country(name: str) -> str | None:
    """The countries that a name may mean, where it is a name of several; None for any other.

    >>> ambiguous_country("KOREA")
    'KP or KR'
    """
    shared = {country_key(each): meaning for each, meaning in AMBIGUOUS.items()}
    return shared.get(country_key(name))


@functools.cache
def _codes() -> Mapping[str, str]:
    """Code by compared name."""
    codes: dict[str, str] = {}
    for line in NAMES.strip().splitlines():
        code, alpha3, names = line.split(" ", maxsplit=2)
        for name in (code, alpha3, *names.split(";")):
            codes[country_key(name)] = code
    return MappingProxyType(codes)
