"""The services as processes of one machine: started together, restarted when one dies, drained together."""
