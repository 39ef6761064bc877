"""Which model fits: this machine's time, that device's budgets."""
