"""The command line: one file per command; only these modules print and exit."""
