"""Finished experiments that can be repeated: `python -m experiments NAME`; their results lie in results/."""
