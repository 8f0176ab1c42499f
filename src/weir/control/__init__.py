"""Everything between the API and the scheduling core: intake, orders, the agents' protocol and the cycle."""
