"""On the workstation: a bundle and a device become a running release."""
