"""The command line's commands, one module per family; `cli.py` puts them together."""
