"""A finished study as words, tables and figures, for the pages and for files that leave the machine."""
