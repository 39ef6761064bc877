"""From records to verdicts. In: samples, budgets, breaches. Out: PASS, FAIL or INVALID."""
