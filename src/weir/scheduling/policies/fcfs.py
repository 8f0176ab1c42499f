"""`fcfs`: strictly first come, first served. Nothing starts before the job that came first."""

from weir.scheduling.policy import Policy

POLICY = Policy("fcfs", depth=0, blocking=True)
