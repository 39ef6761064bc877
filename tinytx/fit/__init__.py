"""Which model fits: the time of this machine, the budgets of that device, this text."""
