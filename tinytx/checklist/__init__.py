"""Before a release: fourteen items, each a check that can fail. In: a bundle and what is known of a
device. Out: done, not done, or cannot be told from here, with the command that settles it."""
