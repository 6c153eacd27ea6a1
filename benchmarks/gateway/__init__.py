"""The gateway: what a search costs it, and what it adds to the work of the services behind it."""
