"""Order files: finding, opening and checking the structure of CSV and Parquet."""
