"""The local engine: really runs processes on this machine. See `driver.LocalDriver`."""
