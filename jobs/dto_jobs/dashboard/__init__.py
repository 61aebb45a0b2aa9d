"""Grafana's dashboards for people without Grafana: the same panels, from the same queries, as one HTML page."""
