"""What Weir can do on this machine, measured; `python -m bench --list` names the measurements."""
