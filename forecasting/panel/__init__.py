"""The canonical table of all series: its schema, vintages, history arrays and measurement errors."""
