"""Slurm, through slurmrestd or through its own commands."""
