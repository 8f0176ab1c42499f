"""The twin: the scheduling core in simulated time, on recorded or generated jobs."""
