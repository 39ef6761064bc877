"""``tinytx generate``."""
