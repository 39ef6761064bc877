"""Every setting as a flag, for the commands that train."""
