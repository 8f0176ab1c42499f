"""Commands, and the thin runners that own threads, sockets and sleeps. No logic of its own."""
