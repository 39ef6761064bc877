"""``tinytx bench``."""
