"""Ways out of a spool: its records as JSON lines, tables (CSV, Parquet) and OpenTelemetry traces. Nothing here changes a spool."""
