"""``tinytx release``: one file for each group of its subcommands."""
