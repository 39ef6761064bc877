"""``tinytx compare``."""
