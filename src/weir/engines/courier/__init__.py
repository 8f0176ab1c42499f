"""Files between an agent and nodes that share no folder with it: the nodes come to the agent's own door."""
