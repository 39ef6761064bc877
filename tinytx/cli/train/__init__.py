"""``tinytx train``, and what the commands that train share."""
