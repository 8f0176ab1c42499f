"""Compiled code. Import it through `weir.scheduling.compilation`, which says first where compiled code is kept."""
