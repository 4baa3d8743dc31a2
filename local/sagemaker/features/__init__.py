"""What feature groups do: values and event times, records online, parquet offline."""
