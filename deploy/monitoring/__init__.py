"""What watches a deployment: rules for Prometheus, a dashboard for Grafana, the reference of answers."""
