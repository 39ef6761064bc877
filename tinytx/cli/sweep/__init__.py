"""``tinytx sweep``."""
