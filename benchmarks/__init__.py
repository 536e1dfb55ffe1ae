"""Measurements against a named peer or limit: `python -m benchmarks NAME --json`.

A benchmark is a module of this package, named as its NAME (underscores for hyphens, and one more at
the end where the name is a Python keyword). It offers `run(args) -> dict`, may offer
`add_arguments(parser)`, and REPEATS where five are too many. Keys of a result:

    ours, against, unit    medians of alternating runs of this program and of the peer
    peer                   what it is measured against, in words
    ratio                  what the limit is about: ours / against, so that of a rate more is better and
                           of a time, or of memory, less; `heads` alone is a speed-up, against /
                           ours
    limit, better          the ratio must be at least the limit ("better": "higher") or at most ("lower")

`python -m benchmarks` adds name, command (paths as PATH), date (UTC), machine and versions. Results
that are kept lie in benchmarks/results/*.json, one file a benchmark, setting and machine; the table
in docs/results.md is made from them by `python -m tools.results`.
"""
