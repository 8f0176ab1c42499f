"""What really runs things at a centre: one module a driver, behind one small interface. Standard library
alone."""
