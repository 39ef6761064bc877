"""Is a memory limit real here? In: bytes. Out: a group that bites, or why there is none."""
