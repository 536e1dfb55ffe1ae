"""Run one experiment and print its result, as `python -m benchmarks` does with a benchmark."""

import experiments
from benchmarks.__main__ import main

if __name__ == "__main__":
    raise SystemExit(main(package=experiments))
