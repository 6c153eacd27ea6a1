"""The front door: search flow, catalogue, change log, feed, HTTP."""
