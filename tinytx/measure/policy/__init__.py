"""What is promised. In: the TOML files of bench/. Out: typed budgets, scenarios and devices."""
