"""On the device: the store of releases, what each went through, and the way back."""
