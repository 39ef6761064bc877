"""What the machine says of itself. In: /proc and /sys. Out: facts, and what breaks a figure."""
