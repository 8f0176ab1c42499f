"""Weir shares out a province's computing power."""

__all__ = ["__version__"]

__version__ = "0.1.0"
