"""What it takes to run Vitrine on Kubernetes: images, the chart, and what is generated for it."""
