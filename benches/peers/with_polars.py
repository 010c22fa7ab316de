#!/usr/bin/env python3
"""Plans a CSV file with Polars, as `compare.py` says:    with_polars.py FILE"""

import json
import sys

import polars as pl


def main(file: str) -> None:
    rows = pl.scan_csv(file, schema={"user_id": pl.Int64, "attribute": pl.String, "value": pl.String})
    standing = rows.unique(subset=["user_id", "attribute"], keep="last", maintain_order=False)
    groups = standing.group_by("attribute", "value").agg(pl.col("user_id")).collect()
    sizes = groups["user_id"].list.len()
    requests = ((sizes.cast(pl.Int64) + 999) // 1000).sum()
    print(json.dumps({"standing": sizes.sum(), "groups": groups.height, "requests": requests}))


if __name__ == "__main__":
    main(*sys.argv[1:])
