#!/usr/bin/env python3
"""Plans a CSV file with Polars, as `compare.py` says:    with_polars.py [--groups] FILE"""

import argparse
import json

import polars as pl


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--groups", action="store_true", help="print all of the plan")
    parser.add_argument("file")
    options = parser.parse_args()
    rows = pl.scan_csv(options.file, schema={"user_id": pl.Int64, "attribute": pl.String, "value": pl.String})
    standing = rows.unique(subset=["user_id", "attribute"], keep="last", maintain_order=False)
    groups = standing.group_by("attribute", "value").agg(pl.col("user_id").alias("ids")).collect()
    if options.groups:
        print(groups.with_columns(pl.col("ids").list.sort()).write_ndjson(), end="")
        return
    sizes = groups["ids"].list.len().cast(pl.Int64)
    requests = ((sizes + 999) // 1000).sum()
    print(json.dumps({"standing": sizes.sum(), "groups": groups.height, "requests": requests}))


if __name__ == "__main__":
    main()
