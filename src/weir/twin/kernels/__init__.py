"""Compiled code of the twin. Import it through `weir.scheduling.compilation.kernel_of`, which says where it is kept."""
