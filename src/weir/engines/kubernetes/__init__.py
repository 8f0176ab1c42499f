"""Kubernetes: every attempt is one batch/v1 Job, made, watched and removed over plain HTTP."""
