"""Who measures. In: a bundle and a policy. Out: a report, from fresh processes one at a time."""
