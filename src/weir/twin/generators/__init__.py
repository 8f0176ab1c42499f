"""Generated work: the Lublin-Feitelson model, resampled traces, and whole provinces with their jobs."""
