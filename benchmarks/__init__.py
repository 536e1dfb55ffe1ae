"""Measurements against a named peer or limit: `python -m benchmarks NAME --json`.

A benchmark is a module of this package, named as its NAME (with a trailing underscore where the
name is a Python keyword). It offers `run(args) -> dict` with at least {ratio, ours, against, unit,
peer}, and may offer `add_arguments(parser)`. Ratios are ours / against, medians of alternating runs.
"""
