"""Search over settings: many short trainings, the budgets as limits, a table of what pays."""
