-- The aggregation of `overspill etl` on an order book: the benchmark's peer. Rows that break a rule are left out,
-- the latest version of each line counts, and what remains is summed as in forecasting/order_book/aggregate.py.
-- Variables: files, skus, countries, as_of, normal_lead_days.

CREATE TEMP VIEW kept AS
SELECT *, hash(order_id, line, split, if(quantity < 0, ordered_at, NULL)) AS key
FROM read_parquet(getvariable('files'), filename = true, file_row_number = true)
WHERE sku IN (SELECT unnest(getvariable('skus')))
  AND customer_country IN (SELECT unnest(getvariable('countries')))
  AND end_use_country IN (SELECT unnest(getvariable('countries')))
  AND quantity <> 0
  AND (quantity > 0 OR return_reason IS NOT NULL)
  AND order_id IS NOT NULL AND line IS NOT NULL AND split IS NOT NULL
  AND ordered_at IS NOT NULL
  AND (quantity < 0 OR requested_at IS NOT NULL)
  AND (quantity < 0 OR shipped_at IS NOT NULL OR coalesce(shipped_quantity, 0) = 0)
  AND ordered_at <= getvariable('as_of')
  AND greatest(ordered_at, shipped_at, cancelled_at) <= getvariable('as_of')
  AND (updated_at IS NULL OR updated_at::DATE <= getvariable('as_of'))
  AND (quantity < 0 OR ordered_at <= least(ordered_at, shipped_at, cancelled_at))
  AND (quantity < 0 OR coalesce(shipped_quantity, 0) BETWEEN 0 AND quantity);

-- Both joins are to hash the few keys, not the many lines.
SET disabled_optimizers = 'join_order,build_side_probe_side';

-- Keys that occur more than once, by their hash; what shares a hash is told apart below.
CREATE TEMP TABLE contested_keys AS SELECT key FROM kept GROUP BY key HAVING count(*) > 1;
CREATE TEMP TABLE contested AS SELECT * FROM kept SEMI JOIN contested_keys USING (key);

CREATE TEMP TABLE decided AS
WITH compared AS (
  SELECT *, hash(sku, customer_id, customer_country, end_use_country, quantity, ordered_at, requested_at,
    promised_at, shipped_at, shipped_quantity, cancelled_at, unit_price, return_reason) AS content
  FROM contested
), alike AS (
  SELECT * FROM compared
  WINDOW version AS (PARTITION BY order_id, line, split, if(quantity < 0, ordered_at, NULL), updated_at)
  QUALIFY min(content) OVER version = max(content) OVER version
)
SELECT * FROM alike
QUALIFY row_number() OVER (
  PARTITION BY order_id, line, split, if(quantity < 0, ordered_at, NULL) ORDER BY updated_at DESC NULLS LAST, filename, file_row_number
) = 1;

CREATE TEMP TABLE accepted AS
WITH chosen AS (
  SELECT sku, end_use_country, quantity, ordered_at, requested_at, promised_at, shipped_at, shipped_quantity,
    cancelled_at
  FROM kept ANTI JOIN contested_keys USING (key)
  UNION ALL
  SELECT sku, end_use_country, quantity, ordered_at, requested_at, promised_at, shipped_at, shipped_quantity,
    cancelled_at
  FROM decided
)
SELECT
  sku,
  end_use_country AS country,
  CASE WHEN end_use_country IN ('US', 'PR', 'GU', 'VI', 'AS', 'MP', 'UM') THEN 'us' ELSE 'export' END AS destination,
  quantity,
  CASE WHEN quantity < 0 OR shipped_at IS NULL THEN 0 ELSE coalesce(shipped_quantity, quantity) END AS shipped,
  ordered_at,
  requested_at,
  greatest(promised_at, requested_at, ordered_at) AS due_at,
  shipped_at,
  cancelled_at
FROM chosen;

CREATE TEMP VIEW parts AS
SELECT sku, destination, 'shipped' AS fate, ordered_at, due_at, shipped_at AS closed_at, shipped AS units,
  CASE WHEN shipped_at <= due_at THEN shipped ELSE 0 END AS on_time_units,
  CASE WHEN shipped_at - requested_at <= getvariable('normal_lead_days') THEN shipped ELSE 0 END AS normal_lead_units,
  FALSE AS never_due
FROM accepted WHERE shipped > 0
UNION ALL
SELECT sku, destination,
  CASE WHEN quantity < 0 THEN 'returned' WHEN cancelled_at IS NOT NULL THEN 'cancelled' ELSE 'open' END,
  ordered_at, due_at, cancelled_at, quantity - shipped, 0, 0, quantity < 0 OR coalesce(cancelled_at <= due_at, FALSE)
FROM accepted WHERE quantity <> shipped;

CREATE TEMP TABLE ageing AS
SELECT sku, destination, fate, date_trunc('quarter', ordered_at) AS ordered_period,
  date_trunc('quarter', closed_at) AS closed_period, sum(units) AS units
FROM parts GROUP BY ALL;

CREATE TEMP TABLE dues AS
SELECT sku, destination, fate, date_trunc('quarter', due_at) AS due_period,
  date_trunc('quarter', closed_at) AS closed_period, sum(units) AS units, sum(on_time_units) AS on_time_units,
  sum(normal_lead_units) AS normal_lead_units
FROM parts WHERE NOT never_due GROUP BY ALL;

CREATE TEMP TABLE lead_days AS
SELECT sku, destination, date_trunc('quarter', shipped_at) AS period, shipped_at - requested_at AS days,
  sum(shipped) AS units
FROM accepted WHERE shipped > 0 GROUP BY ALL;

CREATE TEMP TABLE shipped_by_country AS
SELECT sku, country, date_trunc('quarter', shipped_at) AS period, sum(shipped) AS units
FROM accepted WHERE shipped > 0 GROUP BY ALL;
