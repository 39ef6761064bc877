"""A server under load. In: a bundle or an address, rates, budgets. Out: a report."""
