"""The main job: a province on one machine, real trainings on it, and what came of them."""

from weir.cli.demo.command import register

__all__ = ["register"]
