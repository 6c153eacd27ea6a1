"""All services as real processes. A package, so that its mesh ends with it."""
