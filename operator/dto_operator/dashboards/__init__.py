"""Grafana's dashboards as code: made into JSON by `make dashboards`, never loaded by the operator."""
