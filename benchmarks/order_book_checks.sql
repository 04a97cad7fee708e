-- What `overspill etl` does beyond the aggregation, after order_book.sql: bad rows with the first rule that each
-- breaks, counts of rows per file, the US lines that an export overtook, and the SHA-256 of every file.
-- Variables as there, and `out`, a folder.

CREATE TEMP VIEW judged AS
SELECT *, CASE
  WHEN sku IS NULL OR sku NOT IN (SELECT unnest(getvariable('skus'))) THEN 'unknown_sku'
  WHEN customer_country IS NULL OR end_use_country IS NULL
    OR customer_country NOT IN (SELECT unnest(getvariable('countries')))
    OR end_use_country NOT IN (SELECT unnest(getvariable('countries'))) THEN 'unknown_country'
  WHEN quantity IS NULL OR quantity = 0 OR abs(quantity) > 1e12 OR shipped_quantity < 0 THEN 'bad_quantity'
  WHEN quantity < 0 AND return_reason IS NULL THEN 'negative_without_reason'
  WHEN order_id IS NULL OR line IS NULL THEN 'missing_order_id'
  WHEN least(ordered_at, requested_at, promised_at, shipped_at, cancelled_at) < DATE '1950-01-01'
    OR greatest(ordered_at, requested_at, promised_at, shipped_at, cancelled_at) > DATE '2099-12-31' THEN 'bad_date'
  WHEN ordered_at IS NULL THEN 'missing_ordered_at'
  WHEN quantity > 0 AND requested_at IS NULL THEN 'missing_requested_at'
  WHEN quantity > 0 AND shipped_quantity > 0 AND shipped_at IS NULL THEN 'missing_shipped_at'
  WHEN greatest(ordered_at, shipped_at, cancelled_at) > getvariable('as_of')
    OR updated_at::DATE > getvariable('as_of') THEN 'future_date'
  WHEN quantity > 0 AND shipped_at < ordered_at THEN 'shipped_before_ordered'
  WHEN quantity > 0 AND shipped_quantity > quantity THEN 'shipped_more_than_ordered'
  WHEN quantity > 0 AND cancelled_at < ordered_at THEN 'cancelled_before_ordered'
END AS broken_rule
FROM read_parquet(getvariable('files'), filename = true, file_row_number = true);

CREATE TEMP TABLE broken AS SELECT * FROM judged WHERE broken_rule IS NOT NULL;

CREATE TEMP TABLE lost AS
WITH compared AS (
  SELECT *, hash(sku, customer_id, customer_country, end_use_country, quantity, ordered_at, requested_at,
    promised_at, shipped_at, shipped_quantity, cancelled_at, unit_price, return_reason) AS content
  FROM contested
), versions AS (
  SELECT *, CASE
    WHEN min(content) OVER version <> max(content) OVER version THEN 'conflicting_versions'
    WHEN row_number() OVER (version ORDER BY filename, file_row_number) > 1 THEN 'duplicate_line'
  END AS broken_rule
  FROM compared
  WINDOW version AS (PARTITION BY order_id, line, split, if(quantity < 0, ordered_at, NULL), updated_at)
)
SELECT v.* EXCLUDE (content), d.filename IS NOT NULL AS counts
FROM versions v LEFT JOIN decided d USING (filename, file_row_number)
WHERE v.broken_rule IS NOT NULL OR d.filename IS NULL;

CREATE TEMP TABLE rows_in AS
SELECT file_name AS filename, num_rows AS rows FROM parquet_file_metadata(getvariable('files'));

CREATE TEMP TABLE outcomes AS
SELECT filename, coalesce(broken_rule, 'superseded') AS outcome, count(*) AS rows
FROM (SELECT filename, broken_rule FROM broken UNION ALL SELECT filename, broken_rule FROM lost WHERE NOT counts)
GROUP BY ALL;

-- US parts alike in SKU and days are looked at once: the latest request exported on each day of their delay.
CREATE TEMP TABLE counting AS
SELECT order_id, line, split, filename, file_row_number, sku, end_use_country, quantity, ordered_at, requested_at,
  shipped_at, cancelled_at,
  CASE WHEN quantity < 0 OR shipped_at IS NULL THEN 0 ELSE coalesce(shipped_quantity, quantity) END AS shipped
FROM kept ANTI JOIN lost USING (filename, file_row_number);

CREATE TEMP TABLE delayed AS
SELECT *, greatest(requested_at, ordered_at) AS wanted_at FROM (
  SELECT * EXCLUDE (cancelled_at), shipped_at AS closed_at FROM counting WHERE shipped > 0
  UNION ALL
  SELECT * EXCLUDE (cancelled_at), coalesce(cancelled_at, getvariable('as_of') + 1) FROM counting
  WHERE quantity > shipped
) WHERE end_use_country IN ('US', 'PR', 'GU', 'VI', 'AS', 'MP', 'UM')
  AND closed_at > greatest(requested_at, ordered_at);

CREATE TEMP TABLE exported AS
SELECT sku, shipped_at AS day, max(requested_at) AS latest FROM counting
WHERE shipped > 0 AND end_use_country NOT IN ('US', 'PR', 'GU', 'VI', 'AS', 'MP', 'UM') GROUP BY ALL;

CREATE TEMP TABLE overtaken AS
WITH alike AS (SELECT DISTINCT sku, requested_at, wanted_at, closed_at FROM delayed),
days AS (
  SELECT *, unnest(generate_series(wanted_at + 1, closed_at - 1, INTERVAL 1 DAY))::DATE AS day FROM alike
), hit AS (
  SELECT DISTINCT sku, requested_at, wanted_at, closed_at FROM days JOIN exported USING (sku, day)
  WHERE latest >= requested_at
)
SELECT * FROM delayed SEMI JOIN hit USING (sku, requested_at, wanted_at, closed_at);

CREATE TEMP TABLE contents AS
SELECT filename, sha256(content) AS sha256 FROM read_blob(getvariable('files'));
