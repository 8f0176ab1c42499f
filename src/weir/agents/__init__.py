"""The agent at a centre: a synchronous state machine over a durable record, and its two ports.

Standard library only: an agent runs at centres that have Python alone.
"""
