#!/usr/bin/env python3
"""Writes the data that `compare.py` describes:    data.py nightly|skinny ROWS SEED FILE

Equal arguments make equal files, with every version of DuckDB and on every machine: whatever looks random is a piece of
an MD5 of the seed and a number, and is computed in integers.
"""

import os
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import duckdb


class Attribute(NamedTuple):
    """What rows may set."""

    name: str
    # How many values it has.
    count: int
    # SQL for a value, from its number `n`, which is below `count`, and the row's number `i`.
    value: str


CITY = """
    CASE WHEN n % 5 = 0 THEN 'Newton, ' || n
         WHEN n % 211 = 1 THEN 'New "' || n || '" Town'
         ELSE 'Nowe Miasto ' || n END
"""
COUNTRY = "CASE n % 25 WHEN 7 THEN 'Land, Republic of ' || n ELSE 'Ląd ' || n END"
SHAPES = {
    "nightly": [
        Attribute("country", 200, COUNTRY),
        Attribute("status", 2, "n + 1"),
        Attribute("gender", 3, "n + 1"),
        Attribute("unsubscribed", 2, "CASE n WHEN 0 THEN 'false' ELSE 'true' END"),
        Attribute("city", 20_000, CITY),
        Attribute("company_id", 400, "n + 1"),
        Attribute("score", 101, "n"),
        Attribute("region", 3_000, "'Województwo ' || n"),
    ],
    "skinny": [
        Attribute("first_name", 200_000, "'Imię ' || n"),
        Attribute("last_name", 500_000, "CASE WHEN n % 50 = 0 THEN 'Nazwisko, Jr. ' || n ELSE 'Nazwisko ' || n END"),
        # Distinct, as the two factors have no divisor in common.
        Attribute("phone_number", 1, "'+1555' || (100000000 + i * 282475249 % 900000000)"),
    ],
}

# A slot is what a row sets: an attribute of a user. There are as many as rows, two for each user. Rows take them in
# random order, but for every fiftieth, which takes one that an earlier row took.
#
# Of `low` and `high`, 64 random bits each, `a` to `d` are halves. A value's number comes of the product of two, so that
# small numbers are the most frequent.
ROWS = """
    WITH slots AS (
        SELECT slot, row_number() OVER (ORDER BY md5_number_lower($seed || ':slot:' || slot), slot) - 1 AS place
        FROM range($rows) AS slots(slot)
    ),
    random AS (
        SELECT i, md5_number_lower($seed || ':row:' || i) AS low, md5_number_upper($seed || ':row:' || i) AS high
        FROM range($rows) AS rows(i)
    ),
    halves AS (
        SELECT i, low & 4294967295 AS a, low >> 32 AS b, high & 4294967295 AS c, high >> 32 AS d FROM random
    ),
    counted AS (
        SELECT *, i > 0 AND c % 50 = 0 AS again,
               sum((NOT (i > 0 AND c % 50 = 0))::INT) OVER (ORDER BY i)::UBIGINT AS taken
        FROM halves
    ),
    placed AS (
        SELECT i, a, b, CASE WHEN again THEN d * taken >> 32 ELSE taken - 1 END::BIGINT AS place FROM counted
    ),
    owned AS (
        SELECT i, a, b, slot // 2 AS owner, slot % 2 AS second,
               (md5_number_lower($seed || ':user:' || slot // 2) >> 1)::BIGINT AS draw
        FROM placed JOIN slots USING (place)
    ),
    named AS (
        SELECT i, a, b, 1000000 + owner AS user_id,
               (draw % {kinds} + second * (1 + (draw // {kinds}) % ({kinds} - 1))) % {kinds} AS kind
        FROM owned
    ),
    numbered AS (
        SELECT i, user_id, kind, ((a * b >> 32) * {counts}[kind + 1]::UBIGINT >> 32)::BIGINT AS n FROM named
    )
    SELECT user_id, {names}[kind + 1] AS attribute, CASE kind {values} END AS value
    FROM numbered
    ORDER BY i
"""


def write(attributes: list[Attribute], rows: int, seed: int, file: Path) -> None:
    """Writes this many rows, whole or not at all."""
    values = " ".join(f"WHEN {kind} THEN ({it.value})::VARCHAR" for kind, it in enumerate(attributes))
    query = ROWS.format(
        kinds=len(attributes),
        counts=[it.count for it in attributes],
        names=[it.name for it in attributes],
        values=values,
    )
    query = query.replace("$rows", str(rows)).replace("$seed", f"'{seed}'")
    with tempfile.TemporaryDirectory(dir=file.parent) as directory, duckdb.connect() as connection:
        connection.execute(f"SET temp_directory = '{directory}'")
        draft = Path(directory) / file.name
        connection.execute(f"COPY ({query}) TO '{draft}' (FORMAT csv, HEADER, DELIMITER ',')")
        os.replace(draft, file)


if __name__ == "__main__":
    shape, row_count, data_seed, path = sys.argv[1:]
    write(SHAPES[shape], int(row_count), int(data_seed), Path(path))
