"""``tinytx deploy``: a bundle onto devices."""
