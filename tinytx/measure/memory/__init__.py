"""What the kernel counts of a process. In: /proc. Out: bytes, and whose they are."""
