"""Names of countries as exports of ERP systems spell them, each with its ISO 3166-1 alpha-2 code.

A line holds the alpha-2 code, the alpha-3 code, and names in English: the usual one first. Names are compared
without case, accents, blanks and punctuation; "&" is "and", "St." is "Saint", and "The" before a name is left out.
A name that several countries share is in no line but in AMBIGUOUS, so that nothing is guessed.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

NAMES = """
AD AND Andorra
AE ARE United Arab Emirates; UAE; Emirates
AF AFG Afghanistan
AG ATG Antigua and Barbuda
AI AIA Anguilla
AL ALB Albania
AM ARM Armenia
AO AGO Angola
AQ ATA Antarctica
AR ARG Argentina
AS ASM American Samoa
AT AUT Austria
AU AUS Australia
AW ABW Aruba
AX ALA Aland Islands; Aland
AZ AZE Azerbaijan
BA BIH Bosnia and Herzegovina; Bosnia; Bosnia Herzegovina
BB BRB Barbados
BD BGD Bangladesh
BE BEL Belgium
BF BFA Burkina Faso
BG BGR Bulgaria
BH BHR Bahrain
BI BDI Burundi
BJ BEN Benin
BL BLM Saint Barthelemy; Saint Barts
BM BMU Bermuda
BN BRN Brunei Darussalam; Brunei
BO BOL Bolivia; Plurinational State of Bolivia; Bolivia, Plurinational State of
BQ BES Bonaire, Sint Eustatius and Saba; Bonaire; Caribbean Netherlands
BR BRA Brazil
BS BHS Bahamas; Bahamas, The
BT BTN Bhutan
BV BVT Bouvet Island
BW BWA Botswana
BY BLR Belarus
BZ BLZ Belize
CA CAN Canada
CC CCK Cocos (Keeling) Islands; Cocos Islands; Keeling Islands
CD COD Democratic Republic of the Congo; Congo, Democratic Republic of the; Congo, The Democratic Republic of the; Congo, Democratic Republic; Congo, Dem. Rep.; Congo, DRC; DRC; DR Congo; Congo Kinshasa; Congo (Kinshasa)
CF CAF Central African Republic
CG COG Republic of the Congo; Congo, Republic of the; Congo, Rep.; Congo Brazzaville; Congo (Brazzaville)
CH CHE Switzerland; Swiss Confederation
CI CIV Cote d'Ivoire; Ivory Coast
CK COK Cook Islands
CL CHL Chile
CM CMR Cameroon
CN CHN China; People's Republic of China; China, People's Republic of; PR China; P.R. of China; PRC; China Mainland; Mainland China; China PR; China (PRC)
CO COL Colombia
CR CRI Costa Rica
CU CUB Cuba
CV CPV Cabo Verde; Cape Verde
CW CUW Curacao
CX CXR Christmas Island
CY CYP Cyprus
CZ CZE Czechia; Czech Republic; Czech Rep.
DE DEU Germany; Federal Republic of Germany; Deutschland
DJ DJI Djibouti
DK DNK Denmark
DM DMA Dominica
DO DOM Dominican Republic; Dominican Rep.
DZ DZA Algeria
EC ECU Ecuador
EE EST Estonia
EG EGY Egypt; Egypt, Arab Rep.; Arab Republic of Egypt
EH ESH Western Sahara
ER ERI Eritrea
ES ESP Spain
ET ETH Ethiopia
FI FIN Finland
FJ FJI Fiji
FK FLK Falkland Islands (Malvinas); Falkland Islands
FM FSM Federated States of Micronesia; Micronesia, Federated States of; Micronesia, Fed. Sts.; Micronesia
FO FRO Faroe Islands; Faeroe Islands
FR FRA France
GA GAB Gabon
GB GBR United Kingdom; UK; United Kingdom of Great Britain and Northern Ireland; Great Britain; Britain; England; Scotland; Wales; Northern Ireland
GD GRD Grenada
GE GEO Georgia
GF GUF French Guiana
GG GGY Guernsey
GH GHA Ghana
GI GIB Gibraltar
GL GRL Greenland
GM GMB Gambia; Gambia, The
GN GIN Guinea; Guinea Conakry; Guinea (Conakry)
GP GLP Guadeloupe
GQ GNQ Equatorial Guinea
GR GRC Greece; EL; Hellenic Republic
GS SGS South Georgia and the South Sandwich Islands
GT GTM Guatemala
GU GUM Guam
GW GNB Guinea-Bissau
GY GUY Guyana
HK HKG Hong Kong; Hong Kong SAR; Hong Kong, China; Hong Kong SAR, China; Hong Kong S.A.R.; China, Hong Kong SAR; China, Hong Kong Special Administrative Region
HM HMD Heard Island and McDonald Islands
HN HND Honduras
HR HRV Croatia
HT HTI Haiti
HU HUN Hungary
ID IDN Indonesia
IE IRL Ireland; Republic of Ireland; Ireland, Republic of; Eire
IL ISR Israel
IM IMN Isle of Man
IN IND India
IO IOT British Indian Ocean Territory
IQ IRQ Iraq
IR IRN Iran; Islamic Republic of Iran; Iran, Islamic Republic of; Iran, Islamic Rep.
IS ISL Iceland
IT ITA Italy
JE JEY Jersey
JM JAM Jamaica
JO JOR Jordan
JP JPN Japan
KE KEN Kenya
KG KGZ Kyrgyzstan; Kyrgyz Republic
KH KHM Cambodia
KI KIR Kiribati
KM COM Comoros
KN KNA Saint Kitts and Nevis
KP PRK North Korea; Democratic People's Republic of Korea; Korea, Democratic People's Republic of; Korea, Dem. People's Rep.; Korea, Dem. Rep.; Korea DPR; DPRK; Korea, North; Korea North
KR KOR South Korea; Republic of Korea; Korea, Republic of; Korea, Rep.; Korea Rep.; Rep. of Korea; Korea, South; Korea South; S. Korea; ROK
KW KWT Kuwait
KY CYM Cayman Islands
KZ KAZ Kazakhstan
LA LAO Lao People's Democratic Republic; Laos; Lao PDR; Lao
LB LBN Lebanon
LC LCA Saint Lucia
LI LIE Liechtenstein
LK LKA Sri Lanka
LR LBR Liberia
LS LSO Lesotho
LT LTU Lithuania
LU LUX Luxembourg; Luxemburg
LV LVA Latvia
LY LBY Libya; Libyan Arab Jamahiriya
MA MAR Morocco
MC MCO Monaco
MD MDA Moldova; Republic of Moldova; Moldova, Republic of
ME MNE Montenegro
MF MAF Saint Martin (French part)
MG MDG Madagascar
MH MHL Marshall Islands
MK MKD North Macedonia; Macedonia; Macedonia, FYR; FYROM; Macedonia, the former Yugoslav Republic of; Republic of North Macedonia
ML MLI Mali
MM MMR Myanmar; Burma; Myanmar (Burma); Burma (Myanmar)
MN MNG Mongolia
MO MAC Macao; Macau; Macao SAR; Macau SAR; Macao SAR, China; Macau, China; China, Macao SAR; China, Macau SAR; China, Macao Special Administrative Region
MP MNP Northern Mariana Islands
MQ MTQ Martinique
MR MRT Mauritania
MS MSR Montserrat
MT MLT Malta
MU MUS Mauritius
MV MDV Maldives
MW MWI Malawi
MX MEX Mexico
MY MYS Malaysia
MZ MOZ Mozambique
NA NAM Namibia
NC NCL New Caledonia
NE NER Niger
NF NFK Norfolk Island
NG NGA Nigeria
NI NIC Nicaragua
NL NLD Netherlands; Holland; Kingdom of the Netherlands; Netherlands, The
NO NOR Norway
NP NPL Nepal
NR NRU Nauru
NU NIU Niue
NZ NZL New Zealand
OM OMN Oman
PA PAN Panama
PE PER Peru
PF PYF French Polynesia
PG PNG Papua New Guinea
PH PHL Philippines
PK PAK Pakistan
PL POL Poland
PM SPM Saint Pierre and Miquelon
PN PCN Pitcairn; Pitcairn Islands
PR PRI Puerto Rico
PS PSE State of Palestine; Palestine; Palestine, State of; Palestinian Territory; Palestinian Territories; West Bank and Gaza
PT PRT Portugal
PW PLW Palau
PY PRY Paraguay
QA QAT Qatar
RE REU Reunion
RO ROU Romania; ROM
RS SRB Serbia; Republic of Serbia
RU RUS Russian Federation; Russia
RW RWA Rwanda
SA SAU Saudi Arabia; Kingdom of Saudi Arabia; KSA
SB SLB Solomon Islands
SC SYC Seychelles
SD SDN Sudan
SE SWE Sweden
SG SGP Singapore
SH SHN Saint Helena, Ascension and Tristan da Cunha; Saint Helena
SI SVN Slovenia
SJ SJM Svalbard and Jan Mayen
SK SVK Slovakia; Slovak Republic
SL SLE Sierra Leone
SM SMR San Marino
SN SEN Senegal
SO SOM Somalia
SR SUR Suriname
SS SSD South Sudan
ST STP Sao Tome and Principe
SV SLV El Salvador
SX SXM Sint Maarten (Dutch part); Sint Maarten
SY SYR Syrian Arab Republic; Syria
SZ SWZ Eswatini; Swaziland; Eswatini (Swaziland)
TC TCA Turks and Caicos Islands; Turks and Caicos
TD TCD Chad
TF ATF French Southern Territories
TG TGO Togo
TH THA Thailand
TJ TJK Tajikistan
TK TKL Tokelau
TL TLS Timor-Leste; East Timor
TM TKM Turkmenistan
TN TUN Tunisia
TO TON Tonga
TR TUR Turkey; Turkiye; Republic of Turkiye
TT TTO Trinidad and Tobago; Trinidad
TV TUV Tuvalu
TW TWN Taiwan; Taiwan, Province of China; Taiwan, China; Chinese Taipei; Taiwan R.O.C.; Taiwan, Republic of China; Republic of China (Taiwan); Taiwan (ROC)
TZ TZA Tanzania; United Republic of Tanzania; Tanzania, United Republic of
UA UKR Ukraine
UG UGA Uganda
UM UMI United States Minor Outlying Islands; US Minor Outlying Islands
US USA United States; United States of America; U.S.; U.S.A.; US of America
UY URY Uruguay
UZ UZB Uzbekistan
VA VAT Holy See; Vatican City; Vatican City State; Vatican; Holy See (Vatican City State)
VC VCT Saint Vincent and the Grenadines; Saint Vincent
VE VEN Venezuela; Bolivarian Republic of Venezuela; Venezuela, Bolivarian Republic of; Venezuela, RB
VG VGB British Virgin Islands; Virgin Islands (British); Virgin Islands, British; BVI
VI VIR United States Virgin Islands; US Virgin Islands; U.S. Virgin Islands; Virgin Islands (U.S.); Virgin Islands, U.S.; USVI
VN VNM Viet Nam; Vietnam
VU VUT Vanuatu
WF WLF Wallis and Futuna
WS WSM Samoa; Western Samoa
YE YEM Yemen; Yemen, Rep.; Republic of Yemen
YT MYT Mayotte
ZA ZAF South Africa; Republic of South Africa; RSA
ZM ZMB Zambia
ZW ZWE Zimbabwe
"""
AMBIGUOUS: Mapping[str, str] = MappingProxyType(
    {
        "Korea": "KP or KR",
        "Congo": "CD or CG",
        "Virgin Islands": "VG or VI",
        "Saint Martin": "MF or SX",
        "America": "US or a continent",
        "Netherlands Antilles": "BQ, CW or SX",
        "Serbia and Montenegro": "ME or RS",
        "Republic of China": "CN or TW",
    }
)
