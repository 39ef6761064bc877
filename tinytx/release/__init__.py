"""On the device: a store of releases, and the way from one to the next and back."""
