"""What every room speaks: frozen standard-library dataclasses, state tables and problems."""
