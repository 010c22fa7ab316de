#!/usr/bin/env python3
"""Plans a CSV file with DuckDB, as `compare.py` says:    with_duckdb.py [--memory SIZE] [--groups] FILE"""

import argparse
import json
import tempfile

import duckdb

# Rows have numbers in the order of the file, by which the last of a user and attribute is found.
PLAN = """
    WITH numbered AS (
        SELECT *, row_number() OVER () AS number
        FROM read_csv($file, header = true, delim = ',', quote = '"', escape = '"',
                      columns = {'user_id': 'BIGINT', 'attribute': 'VARCHAR', 'value': 'VARCHAR'})
    ),
    standing AS (
        SELECT user_id, attribute, arg_max(value, number) AS value
        FROM numbered
        GROUP BY user_id, attribute
    ),
    groups AS (
        SELECT attribute, value, list(user_id) AS ids
        FROM standing
        GROUP BY attribute, value
    )
"""
FIGURES = "SELECT sum(len(ids))::BIGINT, count(*), sum((len(ids) + 999) // 1000)::BIGINT FROM groups"
GROUPS = "SELECT attribute, value, list_sort(ids) FROM groups"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--memory", metavar="SIZE")
    parser.add_argument("--groups", action="store_true", help="print all of the plan")
    parser.add_argument("file")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as directory, duckdb.connect() as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(f"SET temp_directory = '{directory}'")
        if options.memory is not None:
            connection.execute(f"SET memory_limit = '{options.memory}'")
        plan = connection.execute(PLAN + (GROUPS if options.groups else FIGURES), {"file": options.file})
        names = ("attribute", "value", "ids") if options.groups else ("standing", "groups", "requests")
        while (row := plan.fetchone()) is not None:
            print(json.dumps(dict(zip(names, row))))


if __name__ == "__main__":
    main()
