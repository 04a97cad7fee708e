"""The schema of every reference table: dtype, bounds, meaning, unit of each column, and the rules it keeps.

A table that mixes units has a `unit` column. Sources are named by `source_id`; `sources.yaml` describes them.
"""

from __future__ import annotations

import dataframely as dy
import polars as pl

from forecasting.reference import columns


class Chips(dy.Schema):
    """Accelerators and their data-sheet figures, one row per chip (per GPU for boards that hold several)."""

    chip_id = columns.label("Short canonical name, such as H200", key=True)
    name = columns.label("Full name")
    vendor = columns.label("Vendor in lower case", regex=r"^[a-z]+$")
    family = columns.label("Architecture, such as Hopper or CDNA3")
    launch_quarter_end = columns.day("End of the quarter of first shipment; good for ordering only")
    fp16_dense_tflops = columns.rate("Dense FP16 or BF16 rate", "TFLOPS")
    fp8_dense_tflops = columns.rate("Dense FP8 or INT8 rate", "TFLOPS or TOPS")
    fp6_dense_tflops = columns.rate("Dense FP6 rate, given where it sets the TPP", "TFLOPS")
    fp4_dense_tflops = columns.rate("Dense FP4 rate", "TFLOPS")
    tpp_published = columns.rate(
        "Total processing performance as published or compiled elsewhere", "TOPS x bits"
    )
    memory_gb = columns.rate("Memory on the package", "GB")
    memory_type = columns.label("Memory technology", nullable=True)
    memory_bandwidth_gb_per_s = columns.rate("Total memory bandwidth", "GB/s")
    interconnect_gb_per_s = columns.rate(
        "Bandwidth to other chips, both directions of all links; null where no data sheet was at hand", "GB/s"
    )
    tdp_w = columns.rate("Design power; general knowledge", "W")
    process = columns.label("Foundry process and packaging; general knowledge", nullable=True)
    merchant = columns.flag("Sold to third parties, not made for the vendor's own cloud alone")
    successor_chip_id = columns.label("Chip that replaces it in its vendor's line", nullable=True)
    quality = columns.quality()
    note = columns.note()
    source_id = columns.source()
    source_url = columns.label("Page of the figures", regex=r"^https://")

    @dy.rule()
    def chip_is_not_its_own_successor(cls) -> pl.Expr:
        """A chip cannot replace itself."""
        return pl.col("successor_chip_id") != pl.col("chip_id")


class ShipmentsTotal(dy.Schema):
    """Estimated shipments per quarter and chip pool; 5, 50 and 95 % points of the estimate."""

    quarter_end = columns.day("Last day of the calendar quarter", key=True)
    vendor = columns.label("Vendor in lower case", regex=r"^[a-z]+$")
    chip_pool = columns.label("chip_id, or several joined by / where the estimate pools them", key=True)
    units_p05 = columns.amount(
        "Units shipped, 5 % point; null for a figure stated as a point", "units", nullable=True
    )
    units_p50 = columns.amount("Units shipped, median", "units")
    units_p95 = columns.amount(
        "Units shipped, 95 % point; null for a figure stated as a point", "units", nullable=True
    )
    h100e_p05 = columns.amount("As units_p05 in H100-equivalents", "H100e", nullable=True)
    h100e_p50 = columns.amount("As units_p50 in H100-equivalents", "H100e")
    h100e_p95 = columns.amount("As units_p95 in H100-equivalents", "H100e", nullable=True)
    partial_quarter = columns.flag("The quarter was not yet complete: no fall in shipments")
    source_id = columns.source()

    @dy.rule()
    def quarter_end_is_a_quarter_end(cls) -> pl.Expr:
        """Shipments are counted by calendar quarter."""
        return _is_month_end("quarter_end") & (pl.col("quarter_end").dt.month() % 3 == 0)

    @dy.rule()
    def units_quantiles_are_ordered(cls) -> pl.Expr:
        """5, 50 and 95 % points rise."""
        return _ordered("units_p05", "units_p50", "units_p95")

    @dy.rule()
    def h100e_quantiles_are_ordered(cls) -> pl.Expr:
        """5, 50 and 95 % points rise."""
        return _ordered("h100e_p05", "h100e_p50", "h100e_p95")

    @dy.rule()
    def interval_is_whole_or_absent(cls) -> pl.Expr:
        """A figure stated as a point has neither end of an interval."""
        ends = [pl.col(name).is_null() for name in ("units_p05", "units_p95", "h100e_p05", "h100e_p95")]
        return pl.all_horizontal(ends) | ~pl.any_horizontal(ends)


class ShipmentsByOwner(ShipmentsTotal):
    """Estimated shipments per quarter, chip pool and the company that came to own the chips."""

    owner = columns.label("Company, China, or Other", key=True)
    owner_region = columns.choice("Seat of the owner, not the place of the chips", ("US", "China", "unknown"))


class CapitalExpenditure(dy.Schema):
    """Capital expenditure per company and fiscal quarter; bases must not be mixed in one series."""

    company = columns.label("Company", key=True)
    quarter_end = columns.day("Last day of the fiscal quarter", key=True)
    fiscal_period = columns.label("The company's own name of the quarter", regex=r"^(FY)?\d{4}Q[1-4]$")
    basis = columns.choice(
        "Gross cash purchases of property and equipment, or with finance leases",
        (
            "cash_purchases",
            "cash_purchases_and_finance_lease_principal",
            "company_defined_with_finance_leases",
        ),
        key=True,
    )
    capital_expenditure_usd_m = columns.amount("Capital expenditure of the quarter", "USD million")
    quality = columns.quality()
    note = columns.note()
    source_id = columns.source()

    @dy.rule()
    def quarter_end_is_a_month_end(cls) -> pl.Expr:
        """Fiscal quarters of these companies end with a month."""
        return _is_month_end("quarter_end")


class Cloud(dy.Schema):
    """Cloud revenue, contracted backlog and power; definitions differ between companies, see `basis`."""

    company = columns.label("Company", key=True)
    metric = columns.choice(
        "revenue is of the quarter, backlog and obligations at its end",
        (
            "revenue",
            "remaining_performance_obligations",
            "backlog",
            "revenue_growth_year_on_year",
            "annual_revenue_lower_bound",
            "active_power",
            "contracted_power",
        ),
        key=True,
    )
    basis = columns.choice(
        "What the figure covers; intelligent_cloud_old and _new cannot be chained",
        (
            "company",
            "commercial",
            "google_cloud",
            "aws",
            "azure",
            "intelligent_cloud_old",
            "intelligent_cloud_new",
            "cloud_infrastructure",
            "cloud_applications_and_infrastructure",
        ),
        key=True,
    )
    quarter_end = columns.day("Last day of the fiscal quarter", key=True)
    value = columns.amount("The figure", "see column unit")
    unit = columns.choice("Unit of value", ("USD million", "percent", "MW"))
    quality = columns.quality()
    note = columns.note()
    source_id = columns.source()

    @dy.rule()
    def quarter_end_is_a_month_end(cls) -> pl.Expr:
        """Fiscal quarters of these companies end with a month."""
        return _is_month_end("quarter_end")


class Vendors(dy.Schema):
    """Chip makers' revenue, inventory and supply commitments; fiscal periods end on any day."""

    vendor = columns.label("Vendor in lower case", key=True, regex=r"^[a-z]+$")
    metric = columns.label(
        "What is measured; names ending in _fiscal_year cover a year", key=True, regex=r"^[a-z_]+$"
    )
    period_end = columns.day("Last day of the fiscal period", key=True)
    value = dy.Float64(description="The figure; a loss is negative", metadata={"unit": "see column unit"})
    unit = columns.choice("Unit of value", ("USD million", "percent"))
    quality = columns.quality()
    note = columns.note()
    source_id = columns.source()

    @dy.rule()
    def only_income_may_be_negative(cls) -> pl.Expr:
        """A loss is the only negative figure."""
        return (pl.col("value") >= 0) | pl.col("metric").str.ends_with("operating_income")


class SupplyChain(dy.Schema):
    """Packaging and memory capacity: mostly analysts' estimates and forecasts, several for one date."""

    metric = columns.label("What is measured", key=True, regex=r"^[a-z0-9_]+$")
    period_end = columns.day("Last day of the month or year the figure stands for", key=True)
    value_low = columns.amount("Lower end of the figure", "see column unit", key=True)
    value_high = columns.amount("Upper end of the figure", "see column unit", key=True)
    unit = columns.choice(
        "Unit of the values",
        ("wafers/month", "wafers/year", "chips/wafer", "percent", "USD million", "flag"),
    )
    kind = columns.choice(
        "How it came about", ("estimate", "forecast", "company_statement", "company_guidance")
    )
    stated_by = columns.day("Last day on which a forecast or guidance can have been made", nullable=True)
    quality = columns.quality()
    note = columns.note()
    source_id = columns.source()

    @dy.rule()
    def low_is_not_above_high(cls) -> pl.Expr:
        """The ends of a range are ordered."""
        return pl.col("value_low") <= pl.col("value_high")


class Prices(dy.Schema):
    """Rental prices per GPU-hour: long gaps, mixed providers; the weakest table."""

    observed_on = columns.day("Day of the observation", key=True)
    listing = columns.label("Chip as listed", key=True)
    chip_id = columns.label("The chip in the catalogue, null where it has none", nullable=True)
    chip_line = columns.label("Product line across memory sizes and form factors, such as H100")
    provider = columns.label("Who offers it, with the region where known", key=True)
    kind = columns.choice(
        "Terms of the offer",
        ("on_demand", "on_demand_community", "spot", "marketplace_offer", "index"),
        key=True,
    )
    price_usd_per_gpu_hour = dy.Float64(
        description="Price of one GPU for an hour", min_exclusive=0.0, metadata={"unit": "USD per GPU-hour"}
    )
    aggregation = columns.choice(
        "How several offers became one figure",
        ("lowest_over_instance_sizes", "median_of_listings", "index", "single_quote"),
    )
    source_id = columns.source()


class Macro(dy.Schema):
    """Monthly series on US manufacturing, construction, electricity, and TSMC's revenue."""

    series_id = columns.label("Name of the series, the agency's own where it has one", key=True)
    month_end = columns.day("Last day of the month", key=True)
    value = columns.amount("The figure", "see column unit")
    unit = columns.choice(
        "Unit of value",
        (
            "USD million",
            "USD million at annual rate",
            "TWD thousand",
            "ratio",
            "percent",
            "MWh",
            "index, 2017 = 100",
        ),
    )
    seasonally_adjusted = columns.flag("Adjusted for season")
    derived = columns.flag("Arithmetic on published series, not itself published")
    source_id = columns.source()

    @dy.rule()
    def month_end_is_a_month_end(cls) -> pl.Expr:
        """A month is dated by its last day."""
        return _is_month_end("month_end")


class PublishedEstimates(dy.Schema):
    """What others have published, to hold the project's answers against; null where no bound was given."""

    metric = columns.label("What is estimated", key=True, regex=r"^[a-z0-9_]+$")
    as_of = columns.day("Day the figure stands for, the last of the month or year named", key=True)
    value_low = columns.amount("Lower end", "see column unit", nullable=True)
    value_high = columns.amount("Upper end", "see column unit", nullable=True)
    unit = columns.label("Unit of the values; statement where there is no number")
    confidence = columns.choice("How far to trust it", ("high", "medium_high", "medium", "medium_low"))
    publisher = columns.label("Who said so")
    note = columns.note()
    source_id = columns.source()

    @dy.rule()
    def low_is_not_above_high(cls) -> pl.Expr:
        """The ends of a range are ordered."""
        return pl.col("value_low") <= pl.col("value_high")


class SaturationCheckpoints(dy.Schema):
    """Dated statements by others on whether a market was met; a benchmark, never an input."""

    subject = columns.label("What the statement speaks of", key=True)
    item_id = columns.label("Item of the panel, null where it has none", nullable=True)
    scope = columns.choice("How far it reaches", ("product", "portfolio", "china", "market"))
    kind = columns.choice(
        "What it is about: orders, rents, supply, or Chinese demand alone",
        ("orders", "rental", "supply", "china"),
    )
    stated_on = columns.day("Day of the statement, or the last of its month or quarter", key=True)
    statement = columns.label("What was said", key=True)
    implies = columns.label("What it implies for US demand")
    met_low = columns.amount("Lowest probability that orders were met", "probability", nullable=True)
    met_high = columns.amount("Highest probability that orders were met", "probability", nullable=True)
    confidence = columns.choice("How far to trust it", ("high", "medium", "low"))
    publisher = columns.label("Who said so, and where it was read")
    source_id = columns.source()

    @dy.rule()
    def probabilities_are_ordered(cls) -> pl.Expr:
        """A range of probabilities rises and lies within 0 to 1."""
        return (pl.col("met_low") <= pl.col("met_high")) & (pl.col("met_high") <= 1)


class Statements(dy.Schema):
    """Dated facts about supply and exports that the answer rests on or lists; none judges the states."""

    statement_id = columns.label("Name of the statement", key=True, regex=r"^[a-z0-9_]+$")
    subject = columns.label("Chip, family or portfolio that it speaks of")
    kind = columns.choice(
        "What it is about",
        ("lead_time", "supply_gap", "commitments", "write_down", "stock", "licence", "delivery"),
    )
    stated_on = columns.day("Day of the statement, or the last of its month")
    statement = columns.label("What was said")
    low = columns.amount("Lower end of the figure", "see unit", nullable=True)
    high = columns.amount("Upper end of the figure", "see unit", nullable=True)
    unit = columns.label("Unit of the figure", nullable=True)
    implies = columns.label("State of the US market that it implies: short, met or none", nullable=True)
    use = columns.choice(
        "state: a soft observation of the state; listed: shown beside the answer",
        ("state", "listed"),
    )
    publisher = columns.label("Who said so")
    source_id = columns.source()

    @dy.rule()
    def an_observed_lead_time_has_a_range_in_weeks(cls) -> pl.Expr:
        """What is used as an observation of the state is a lead time with both ends."""
        complete = (pl.col("unit") == "weeks") & (pl.col("low") > 0) & (pl.col("high") >= pl.col("low"))
        return (pl.col("use") != "state") | (
            (pl.col("kind") == "lead_time") & complete.fill_null(value=False)
        )


def _is_month_end(column: str) -> pl.Expr:
    return pl.col(column) == pl.col(column).dt.month_end()


def _ordered(low: str, middle: str, high: str) -> pl.Expr:
    return (pl.col(low) <= pl.col(middle)) & (pl.col(middle) <= pl.col(high))
