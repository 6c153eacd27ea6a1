"""The Grafana dashboards, as code: `python -m deploy.observability` writes them into the chart."""
