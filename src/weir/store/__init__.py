"""The only truth: schema, transactions, the change log and migrations."""
