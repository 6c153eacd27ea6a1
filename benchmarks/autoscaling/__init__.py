"""How the autoscaler of the embedder behaves when ten times as many come: simulated from measured figures."""
