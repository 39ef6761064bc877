"""One search on several machines: Optuna's own storage in PostgreSQL, and what keeps it whole."""
