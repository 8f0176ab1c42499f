"""Ray, through the HTTP interface of its jobs: no part of Ray is imported, here or on its nodes."""
