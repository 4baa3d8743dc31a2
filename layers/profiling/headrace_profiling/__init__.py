"""What is in the data: quality, profiles, later drift; on DuckDB, and no AWS.

`quality` checks one file and parts its good rows from its bad ones, `profile` says what a column
looks like in a form that merges (over files, versions, days), `measure` takes it from a table.
"""
