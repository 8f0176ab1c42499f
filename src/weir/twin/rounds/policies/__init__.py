"""Who runs where in the next round: one module a policy."""
