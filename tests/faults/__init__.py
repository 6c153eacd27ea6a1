"""Processes are killed and networks cut. A package, so that its mesh ends with it."""
