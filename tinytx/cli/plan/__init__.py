"""``tinytx plan``."""
