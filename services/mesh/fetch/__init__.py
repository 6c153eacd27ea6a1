"""Pictures by address: what is fetched, from where, how often, and how much of it is taken."""
