"""What metrics and traces cost, in processor time of all services."""
