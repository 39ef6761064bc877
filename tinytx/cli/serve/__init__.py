"""``tinytx serve``."""
